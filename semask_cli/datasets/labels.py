"""Reading label files and masks: the stored pixel values, and the class indices that they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semask_cli.datasets.class_set import INVALID, LabelEncoding
from semask_cli.datasets.mat_files import read_mat
from semask_cli.datasets.polygons import polygons_size, read_polygons
from semask_cli.errors import DatasetError, ImageError
from semask_cli.io.images import decoded, open_image

_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B")


class ColourMaskError(DatasetError):
    """A colour mask. Colours repeat, so they do not identify classes."""

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(
            f"{path} is a colour image ({mode}), not a mask of class indices",
            "Palettes repeat colours, so classes cannot be read from them. Write a grey or palette PNG.",
        )
        self.path = path


class LabelValueError(DatasetError):
    """A mask has `values` outside its encoding."""

    def __init__(self, path: Path, encoding: LabelEncoding, values: tuple[int, ...]) -> None:
        shown = ", ".join(map(str, values[:5])) + (", …" if len(values) > 5 else "")
        super().__init__(
            f"{path} holds {shown}, which {encoding.name} does not have", "`semask check` finds the reason."
        )
        self.values = values


def read_labels(path: Path, encoding: LabelEncoding) -> NDArray[np.uint8]:
    """The class index of each pixel (H, W), IGNORE where there is none.

    Raises:
        LabelValueError: a value that is neither a class nor ignored; it is never counted as something else.
        DatasetError: as `read_values`.
    """
    values = read_values(path, encoding)
    if values.min(initial=0) < 0 or values.max(initial=0) > 255:
        outside = values[(values < 0) | (values > 255)]
        raise LabelValueError(path, encoding, tuple(np.unique(outside).tolist()))
    labels = encoding.table[values]
    if labels.min(initial=0) == INVALID:
        raise LabelValueError(path, encoding, tuple(np.unique(values[labels == INVALID]).tolist()))
    return labels.astype(np.uint8)


def read_values(path: Path, encoding: LabelEncoding | None = None) -> NDArray[np.integer]:
    """The pixel values (H, W) of a grey or palette PNG (8 or 16 bit), or of the array `S` of a .mat file.

    A PNG's checksums are verified: a flipped bit would be another class. The polygons of a .json file are drawn with
    the values of their names in `encoding`.

    Raises:
        ColourMaskError: the image has several channels.
        DatasetError: the file is missing, damaged or of another format.
    """
    if path.suffix == ".mat":
        return read_mat(path)
    if path.suffix == ".json":
        return read_polygons(path, encoding.names if encoding else {})
    with _opened(path, verify=True) as image:
        values = np.array(decoded(image, str(path)))
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def read_instance_ids(path: Path, encoding: LabelEncoding, shape: tuple[int, int]) -> NDArray[np.integer]:
    """The instance ids (H, W): label x 1000 + number of the object; below 1000 there is no object.

    Args:
        path: a 16-bit grey PNG.
        encoding: of the labels within the ids.
        shape: (height, width) of the label file beside it.

    Raises:
        LabelValueError: an id whose label the encoding does not have.
        DatasetError: the file has another size; else as `read_values`.
    """
    ids = read_values(path)
    if ids.shape != shape:
        sizes = [f"{width} x {height}" for height, width in (ids.shape, shape)]
        raise DatasetError(f"{path} is {sizes[0]}, but its label is {sizes[1]}", "Copy both again from the download.")
    objects = np.unique(ids[ids >= 1000])
    labels = objects // 1000
    invalid = (labels > 255) | (encoding.table[np.minimum(labels, 255)] == INVALID)
    if invalid.any():
        raise LabelValueError(path, encoding, tuple(objects[invalid].tolist()))
    return ids


def mask_size(path: Path) -> tuple[int, int]:
    """(height, width) of a label file, from its header where it has one. Raises as `read_values`."""
    if path.suffix == ".mat":
        height, width = read_mat(path).shape
        return height, width
    if path.suffix == ".json":
        return polygons_size(path)
    with _opened(path) as image:
        return image.height, image.width


@contextmanager
def _opened(path: Path, *, verify: bool = False) -> Iterator[Image.Image]:
    try:
        with open_image(path, verify=verify) as image:
            if image.mode not in _ONE_CHANNEL:
                raise ColourMaskError(path, image.mode)
            if any(tile.args in ("L;2", "L;4") for tile in getattr(image, "tile", ())):  # which Pillow stretches
                raise DatasetError(
                    f"{path} has less than 8 bits per pixel, whose meaning differs between programs",
                    "Write it with 8 bits, or as a palette PNG.",
                )
            yield image
    except ImageError as error:
        raise DatasetError(
            f"cannot read the label file: {error.message}", "Copy it again from the download."
        ) from error
