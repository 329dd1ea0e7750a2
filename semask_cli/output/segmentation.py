"""What a prediction gives: the labels of one image, and all that can be written from them."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semask_cli.errors import OutputError, UsageError
from semask_cli.io.files import write_atomically
from semask_cli.output import render, vectors
from semask_cli.output.class_shares import ClassShare, class_shares

Kind = Literal[
    "mask",
    "index",
    "color",
    "overlay",
    "contour",
    "side",
    "legend",
    "preview",
    "confidence",
    "entropy",
    "scores",
    "json",
    "coco",
    "coco-polygons",
    "geojson",
    "cvat",
    "labelstudio",
]

KINDS: tuple[Kind, ...] = get_args(Kind)
"""What `Segmentation.save` can write."""

SCHEMA_VERSION = 1
"""Of the JSON document; it rises when a key changes its meaning or goes."""

_JPEG_SIDE = 65500  # libjpeg's JPEG_MAX_DIMENSION


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """How labels came about.

    `checkpoint` is the SHA-256 of the published file, `milliseconds` the time of each stage, `versions` those of the
    libraries. `mode` is "whole" or "slide"; `scales` (factors of the test size, or "native") and `flip` are the
    views merged.
    """

    model: str
    dataset: str
    checkpoint: str
    device: str
    precision: str
    mode: str
    scales: tuple[float, ...] | Literal["native"]
    flip: bool
    milliseconds: dict[str, float]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """The labels of one image, in its displayed orientation.

    `labels` (H, W) uint8 are indices into the K `classes` and the `palette` (K, 3) uint8 RGB; `name` is the image's
    file name, where it came from a file. Where they were kept: `image` (H, W, 3) is the image, uint8 RGB, `confidence`
    (H, W) float32 the score of each pixel's class, `entropy` (H, W) float32 that of all its scores, 0 to 1, and
    `scores` (k, H, W) float16 those of the k best classes, `score_labels` (k, H, W) uint8; or of all classes, in their
    order, with no `score_labels`.
    """

    labels: NDArray[np.uint8]
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    info: RunInfo
    name: str = "image"
    image: NDArray[np.uint8] | None = None
    confidence: NDArray[np.float32] | None = None
    entropy: NDArray[np.float32] | None = None
    scores: NDArray[np.float16] | None = None
    score_labels: NDArray[np.uint8] | None = None

    def shares(self) -> tuple[ClassShare, ...]:
        """The classes present, largest first, with their pixels, share and mean confidence."""
        return class_shares(self.labels, self.classes, self.palette, confidence=self.confidence)

    def to_json(self) -> dict[str, Any]:
        """Size, classes present and run, as a document for json.dumps."""
        height, width = self.labels.shape
        return {
            "schema_version": SCHEMA_VERSION,
            "width": width,
            "height": height,
            "classes": [dataclasses.asdict(share) for share in self.shares()],
            "run": dataclasses.asdict(self.info),
        }

    def _repr_png_(self) -> bytes | None:
        """How a notebook shows it: the legend; nothing where the image was not kept."""
        if self.image is None:
            return None
        return self.encoded("legend", ending=".png")

    def to_supervision(self) -> Any:
        """`supervision.Detections` with a mask for each class present; supervision must be installed."""
        import supervision

        found = [share.index for share in self.shares()]
        masks = self.labels == np.array(found, np.uint8)[:, None, None]  # (present, H, W)
        return supervision.Detections(
            xyxy=supervision.mask_to_xyxy(masks),
            mask=masks,
            class_id=np.array(found, int),
            data={"class_name": np.array([self.classes[index] for index in found])},
        )

    def to_fiftyone(self) -> Any:
        """`fiftyone.Segmentation` of the labels; fiftyone must be installed."""
        import fiftyone

        return fiftyone.Segmentation(mask=self.labels)

    def save(
        self, path: str | os.PathLike[str], *, kind: Kind = "mask", opacity: float = 0.5, tolerance: float = 0
    ) -> None:
        """Write one file, making its folder where needed and replacing what stood there.

        `kind` is one of

        - "mask": palette PNG, the pixel value is the class index; see `render.encode_mask` for reading it back
        - "index": grey PNG, the pixel value is the class index, whatever it is read with
        - "color": RGB PNG in the dataset's colours, which repeat: for the eye, not for reading back
        - "overlay": the image tinted with the classes' colours at `opacity` (0 to 1)
        - "contour": the image with the outlines of the segments in the classes' colours
        - "side": the image and its overlay side by side
        - "legend": the overlay over a list of the classes and their shares
        - "preview": a small JPEG, the image above its overlay, with its name, size and classes as a comment
        - "confidence": grey PNG, the score of each pixel's class, 0 to 1 as 0 to 255
        - "entropy": grey PNG, how evenly a pixel's score is spread over the classes, 0 to 1 as 0 to 255
        - "scores": npz, the fields `scores` and `score_labels`
        - "json": the document of `to_json`
        - "coco", "coco-polygons", "geojson", "cvat", "labelstudio": connected regions, for annotation tools; see
          `vectors`. Outlines may leave out corners within `tolerance`, in pixels.

        Each kind has its endings; overlay, contour, side and legend end in .jpg or .png.

        Raises:
            UsageError: a kind, ending, opacity or tolerance that does not exist, or something was not kept.
            OutputError: the file cannot be written, or is too large for a JPEG; nothing is left of it.
        """
        path = Path(path)
        try:
            content = self.encoded(kind, ending=path.suffix.lower(), opacity=opacity, tolerance=tolerance)
        except UsageError as error:
            raise UsageError(f"{path}: {error.message}", error.suggestion) from error
        write_atomically(path, content)

    def encoded(
        self, kind: Kind = "mask", *, ending: str | None = None, opacity: float = 0.5, tolerance: float = 0
    ) -> bytes:
        """The bytes of the file that `save` would write, as its `ending` (".png") says; unless given, the kind's first.

        Raises:
            UsageError, OutputError: as `save`.
        """
        if kind not in KINDS:
            raise UsageError(f"there is no kind of output called {kind!r}", f"There are {', '.join(KINDS)}.")
        output = _OUTPUTS[kind]
        ending = output.endings[0] if ending is None else ending
        if ending not in output.endings:
            raise UsageError(f"{kind} is written as {' or '.join(output.endings)}")
        if not 0 <= opacity <= 1:
            raise UsageError(f"an opacity of {opacity}: it goes from 0 to 1")
        if not 0 <= tolerance < math.inf:
            raise UsageError(f"a tolerance of {tolerance}: it is a number of pixels, 0 or more")
        if output.needs and getattr(self, output.needs) is None:
            raise UsageError(f"{kind} needs the {output.needs}, which this segmentation was made without keeping")
        return output.encode(self, _Options(ending=ending, opacity=opacity, tolerance=tolerance))


def file_name(stem: str, kind: Kind) -> str:
    """The name of an output: street.png, street.json, street.geojson, street.color.png, street.overlay.jpg, …"""
    middle = "" if kind in ("mask", "json", "geojson") else f".{kind}"
    return f"{stem}{middle}{_OUTPUTS[kind].endings[0]}"


def needs(kinds: Iterable[Kind]) -> set[str]:
    """The optional fields of a segmentation that these kinds are made from."""
    return {output.needs for kind in kinds if (output := _OUTPUTS[kind]).needs}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    ending: str
    opacity: float
    tolerance: float


def _encode_rgb(pixels: NDArray[np.uint8], ending: str) -> bytes:
    buffer = io.BytesIO()
    if ending == ".png":
        # The default level 6 makes a photograph 14 % smaller, in 4 times the time.
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    else:
        if max(pixels.shape) > _JPEG_SIDE:
            raise OutputError(f"JPEG holds at most {_JPEG_SIDE} pixels a side", "Save it as .png.")
        # Full colour resolution keeps thin lines and type clean.
        Image.fromarray(pixels).save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def _encode_mask(result: Segmentation, options: _Options) -> bytes:
    return render.encode_mask(result.labels, result.palette, dataset=result.info.dataset, classes=result.classes)


def _encode_index(result: Segmentation, options: _Options) -> bytes:
    return render.encode_grey(result.labels)


def _encode_confidence(result: Segmentation, options: _Options) -> bytes:
    assert result.confidence is not None
    return render.encode_grey(render.eight_bits(result.confidence))


def _encode_entropy(result: Segmentation, options: _Options) -> bytes:
    assert result.entropy is not None
    return render.encode_grey(render.eight_bits(result.entropy))


def _encode_scores(result: Segmentation, options: _Options) -> bytes:
    assert result.scores is not None
    arrays = {"scores": result.scores, "classes": np.array(result.classes)}
    if result.score_labels is not None:
        arrays["score_labels"] = result.score_labels
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _encode_json(result: Segmentation, options: _Options) -> bytes:
    return (json.dumps(result.to_json(), ensure_ascii=False, indent=2) + "\n").encode()


def _encode_color(result: Segmentation, options: _Options) -> bytes:
    return _encode_rgb(render.colorize(result.labels, result.palette), options.ending)


def _encode_overlay(result: Segmentation, options: _Options) -> bytes:
    return _encode_rgb(_overlay(result, options), options.ending)


def _encode_contour(result: Segmentation, options: _Options) -> bytes:
    assert result.image is not None
    return _encode_rgb(render.outlined(result.image, result.labels, result.palette), options.ending)


def _encode_side(result: Segmentation, options: _Options) -> bytes:
    assert result.image is not None
    return _encode_rgb(render.side_by_side(result.image, _overlay(result, options)), options.ending)


def _encode_legend(result: Segmentation, options: _Options) -> bytes:
    return _encode_rgb(render.legend(_overlay(result, options), result.shares()), options.ending)


def _encode_preview(result: Segmentation, options: _Options) -> bytes:
    assert result.image is not None
    height, width = result.labels.shape
    classes = [{"name": s.name, "colour": s.colour, "share": round(s.share, 6)} for s in result.shares()]
    about = {"name": result.name, "width": width, "height": height, "classes": classes}
    pixels = render.preview(result.image, result.labels, result.palette, opacity=options.opacity)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=82, comment=json.dumps(about).encode())
    return buffer.getvalue()


def _overlay(result: Segmentation, options: _Options) -> NDArray[np.uint8]:
    assert result.image is not None
    return render.overlay(result.image, result.labels, result.palette, opacity=options.opacity)


def _encode_coco(result: Segmentation, options: _Options) -> bytes:
    return vectors.encoded(vectors.coco(result.labels, result.classes, name=result.name))


def _encode_coco_polygons(result: Segmentation, options: _Options) -> bytes:
    document = vectors.coco_polygons(result.labels, result.classes, name=result.name, tolerance=options.tolerance)
    return vectors.encoded(document)


def _encode_geojson(result: Segmentation, options: _Options) -> bytes:
    return vectors.encoded(vectors.geojson(result.labels, result.classes, tolerance=options.tolerance))


def _encode_cvat(result: Segmentation, options: _Options) -> bytes:
    return vectors.cvat(result.labels, result.classes, name=result.name, tolerance=options.tolerance)


def _encode_label_studio(result: Segmentation, options: _Options) -> bytes:
    tasks = vectors.label_studio(
        result.labels, result.classes, name=result.name, model=result.info.model, tolerance=options.tolerance
    )
    return vectors.encoded(tasks)


@dataclass(frozen=True, slots=True)
class _Output:
    """How a kind is written: endings, an encoder to the file's bytes, and the optional field that it is made from."""

    endings: tuple[str, ...]
    encode: Callable[[Segmentation, _Options], bytes]
    needs: Literal["image", "confidence", "entropy", "scores"] | None = None


_PHOTOGRAPH = (".jpg", ".jpeg", ".png")
_OUTPUTS: Mapping[Kind, _Output] = {
    "mask": _Output((".png",), _encode_mask),
    "index": _Output((".png",), _encode_index),
    "color": _Output((".png",), _encode_color),
    "overlay": _Output(_PHOTOGRAPH, _encode_overlay, "image"),
    "contour": _Output(_PHOTOGRAPH, _encode_contour, "image"),
    "side": _Output(_PHOTOGRAPH, _encode_side, "image"),
    "legend": _Output(_PHOTOGRAPH, _encode_legend, "image"),
    "preview": _Output((".jpg",), _encode_preview, "image"),
    "confidence": _Output((".png",), _encode_confidence, "confidence"),
    "entropy": _Output((".png",), _encode_entropy, "entropy"),
    "scores": _Output((".npz",), _encode_scores, "scores"),
    "json": _Output((".json",), _encode_json),
    "coco": _Output((".json",), _encode_coco),
    "coco-polygons": _Output((".json",), _encode_coco_polygons),
    "geojson": _Output((".geojson",), _encode_geojson),
    "cvat": _Output((".xml",), _encode_cvat),
    "labelstudio": _Output((".json",), _encode_label_studio),
}
