"""Segmenting a georeferenced raster of any size into a GeoTIFF with the same transform and reference system."""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import IGNORE, ClassSet, classes
from semask_cli.errors import ImageError, OutputError, UsageError
from semask_cli.geo.blocks import Span, spans
from semask_cli.inference.segmenter import Segmenter
from semask_cli.io.extras import import_extra
from semask_cli.io.files import whole_file
from semask_cli.io.images import RGB
from semask_cli.io.regular import open_regular
from semask_cli.version import __version__

Window = tuple[tuple[int, int], tuple[int, int]]
"""Start and stop of rows and of columns, as in rasterio."""

WINDOWS = 8  # per block and axis
TILE = 512  # pixels, in the output file
_SAMPLE = 1000  # pixels per side of the sample for a stretch
_PERCENTILES = (2, 98)
_CACHE = 256 << 20  # bytes, of GDAL


@dataclass(frozen=True, slots=True)
class Stretch:
    """A linear map of values from `low` to `high` to 0 to 255, with clipping."""

    low: float
    high: float

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Values of any shape and dtype, stretched and rounded to uint8."""
        scaled = (values.astype(np.float32) - self.low) * (255 / (self.high - self.low))
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def rasterio() -> ModuleType:
    """Import rasterio.

    Raises:
        UsageError: it is not installed.
    """
    return import_extra("rasterio", extra="geo", purpose="a georeferenced raster")


def segment_raster(
    segmenter: Segmenter,
    source: Path,
    target: Path,
    *,
    bands: tuple[int, ...] | None = None,
    stretch: Stretch | None = None,
) -> Generator[float, None, None]:
    """Write the labels of `source` to the GeoTIFF `target`; yields the share done, 0 to 1.

    The `segmenter` must use sliding windows at native size (mode "slide", scales "native", no flip): then the labels
    equal those of the whole raster, which is never in memory. `bands` are red, green and blue, counted from 1; by
    default the first three, or the only one. Values that are not 8-bit are stretched: by `stretch`, or from the 2nd to
    the 98th percentile of a coarse sample, as recorded in the target's tags. Pixels without data get the label 255.

    Raises:
        UsageError: the segmenter has other settings, or there is no such band.
        ImageError: the raster cannot be read.
        OutputError: the target cannot be written; no partial file is left.
    """
    config, library = segmenter.config, rasterio()
    if config.mode != "slide" or config.scales != "native" or config.flip:
        raise UsageError(
            "a raster needs sliding windows at its own size",
            "Use --mode slide --scales native, without --flip.",
        )
    class_set = classes(segmenter.spec.dataset)
    with library.Env(GDAL_CACHEMAX=_CACHE):
        with _reading(source):
            open_regular(source).close()  # GDAL would block on a pipe
            raster = library.open(source)
        with raster, whole_file(target) as unfinished:
            reader = _Reader(raster, bands, stretch)
            written: list[tuple[Window, int]] = []  # with the CRC-32 of their labels
            with library.open(unfinished, "w", **_profile(raster)) as labels:
                _describe(labels, raster, class_set.palette, _tags(segmenter, class_set, reader))
                for rows, columns in _blocks(segmenter, raster.height, raster.width):
                    own = _labels(segmenter, reader, rows, columns)
                    window = _window(rows.own, columns.own)
                    labels.write(own, 1, window=window)
                    written.append((window, zlib.crc32(own.tobytes())))
                    done = rows.own.start * raster.width + columns.own.stop * len(rows.own)  # pixels
                    yield done / raster.width / raster.height
            if not _holds(unfinished, written):
                raise OutputError(f"{target} was not written completely", "Free some space, if the disk is full.")


def _profile(raster: Any) -> dict[str, Any]:
    """How the labels of an open raster are stored."""
    return {
        "driver": "GTiff", "dtype": "uint8", "count": 1, "height": raster.height, "width": raster.width,
        "crs": raster.crs, "transform": raster.transform, "nodata": IGNORE, "tiled": True,
        "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip


def _describe(labels: Any, raster: Any, palette: NDArray[np.uint8], tags: dict[str, Any]) -> None:
    """Give the labels, open for writing, their colours, their provenance and the raster's control points."""
    labels.write_colormap(1, {i: (*map(int, colour), 255) for i, colour in enumerate(palette)})
    labels.update_tags(semask=json.dumps(tags))
    if raster.gcps[0]:
        labels.gcps = raster.gcps
    if raster.rpcs:
        labels.rpcs = raster.rpcs


def _tags(segmenter: Segmenter, class_set: ClassSet, reader: _Reader) -> dict[str, Any]:
    """The provenance of the labels."""
    return {
        "dataset": segmenter.spec.dataset,
        "classes": class_set.classes,
        "model": segmenter.spec.name,
        "checkpoint": segmenter.digest,
        "bands": reader.bands,
        "stretch": reader.stretch and [reader.stretch.low, reader.stretch.high],
        "semask": __version__,
    }


def _holds(path: Path, written: Sequence[tuple[Window, int]]) -> bool:
    """Whether each window of a file has its CRC-32: GDAL does not report failed writes."""
    try:
        with rasterio().open(path) as labels:
            return all(zlib.crc32(labels.read(1, window=window).tobytes()) == crc for window, crc in written)
    except rasterio().errors.RasterioIOError:
        return False


@contextmanager
def _reading(source: object) -> Iterator[None]:
    """Convert GDAL's errors into an ImageError."""
    try:
        yield
    except (OSError, rasterio().errors.RasterioIOError) as error:
        raise ImageError(f"cannot read the raster {source}: {getattr(error, 'strerror', None) or error}") from error


def _blocks(segmenter: Segmenter, height: int, width: int) -> Generator[tuple[Span, Span], None, None]:
    (crop_h, crop_w), (stride_h, stride_w) = segmenter.config.crop, segmenter.config.stride
    for rows in spans(height, crop=crop_h, stride=stride_h, windows=WINDOWS):
        for columns in spans(width, crop=crop_w, stride=stride_w, windows=WINDOWS):
            yield rows, columns


def _labels(segmenter: Segmenter, reader: _Reader, rows: Span, columns: Span) -> NDArray[np.uint8]:
    """The labels (H, W) uint8 of a block's own pixels; a block without data is not segmented."""
    y, x = rows.own.start - rows.read.start, columns.own.start - columns.read.start
    own = np.s_[..., y : y + len(rows.own), x : x + len(columns.own)]
    valid = reader.valid(rows.own, columns.own)
    if valid.any():
        values = reader.values(rows.read, columns.read)
        valid &= np.isfinite(values[own]).all(axis=0)
    if not valid.any():
        return np.full(valid.shape, IGNORE, np.uint8)
    return np.where(valid, segmenter.predict(reader.pixels(values)).labels[own], np.uint8(IGNORE))


class _Reader:
    """Reads parts of a raster as 8-bit RGB."""

    def __init__(self, raster: Any, bands: tuple[int, ...] | None, stretch: Stretch | None) -> None:
        self._raster = raster
        self.bands = bands or ((1, 2, 3) if raster.count >= 3 else (1, 1, 1))
        if len(self.bands) != 3 or not all(1 <= band <= raster.count for band in self.bands):
            raise UsageError(f"bands {self.bands} of a raster that has {raster.count}", "Name three of them.")
        self.stretch = stretch
        self._palette: NDArray[np.uint8] | None = None
        if stretch is None and raster.colorinterp[self.bands[0] - 1].name == "palette":  # of its only band
            self._palette = np.array([*raster.colormap(self.bands[0]).values()], np.uint8)[:, :3]
        elif stretch is None and {raster.dtypes[band - 1] for band in self.bands} != {"uint8"}:
            self.stretch = self._sampled()

    def _sampled(self) -> Stretch:
        shape = tuple(min(side, _SAMPLE) for side in self._raster.shape)
        bands = sorted(set(self.bands))
        with _reading(self._raster.name):
            sample = self._raster.read(bands, out_shape=(len(bands), *shape), masked=True)
        values = sample.compressed().astype(np.float64)
        values = values[np.isfinite(values)]
        if not values.size:
            raise ImageError(f"{self._raster.name} contains no data")
        low, high = np.percentile(values, _PERCENTILES)
        return Stretch(float(low), float(high) if high > low else float(low) + 1)

    def values(self, rows: range, columns: range) -> NDArray[Any]:
        """The three bands as they are stored: (3, h, w)."""
        with _reading(self._raster.name):
            return self._raster.read(list(self.bands), window=_window(rows, columns))

    def pixels(self, values: NDArray[Any]) -> RGB:
        """Values of the bands (3, h, w) as uint8 RGB (h, w, 3)."""
        if self._palette is not None:
            return self._palette[values[0]]
        if self.stretch:
            values = self.stretch.apply(np.nan_to_num(values))
        return np.ascontiguousarray(values.transpose(1, 2, 0))

    def valid(self, rows: range, columns: range) -> NDArray[np.bool_]:
        """Bool (h, w): where the raster says that it has data."""
        with _reading(self._raster.name):
            return self._raster.dataset_mask(window=_window(rows, columns)) > 0


def _window(rows: range, columns: range) -> Window:
    return (rows.start, rows.stop), (columns.start, columns.stop)
