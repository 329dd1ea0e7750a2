"""The kinds of output files, and their encoders."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semask_cli.errors import OutputError, UsageError
from semask_cli.output import render, vectors
from semask_cli.output.segmented_image import SegmentedImage

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

Option = Literal["opacity", "tolerance", "top"]
"""An option that only some kinds take."""

KINDS: tuple[Kind, ...] = get_args(Kind)
"""The kinds that `Segmentation.save` can write, described there."""

_JPEG_SIDE = 65500  # libjpeg's JPEG_MAX_DIMENSION


def encode(
    image: SegmentedImage, kind: Kind, *, ending: str | None = None, opacity: float = 0.5, tolerance: float = 0
) -> bytes:
    """The bytes of a file of that kind, in the format of `ending` (".png"); by default the kind's first.

    Raises:
        UsageError: an invalid kind, ending, opacity or tolerance, or the segmentation lacks a field.
        OutputError: the image is too large for a JPEG.
    """
    check_kind(kind)
    output = _OUTPUTS[kind]
    ending = output.endings[0] if ending is None else ending
    if ending not in output.endings:
        raise UsageError(f"{kind} is written as {' or '.join(output.endings)}")
    if not 0 <= opacity <= 1:
        raise UsageError(f"the opacity {opacity} is not from 0 to 1")
    if not 0 <= tolerance < math.inf:
        raise UsageError(f"the tolerance {tolerance} is not a number of pixels, 0 or more")
    if output.needs and getattr(image, output.needs) is None:
        raise UsageError(f"{kind} needs the {output.needs}, which this segmentation did not keep")
    return output.encode(image, _Options(ending=ending, opacity=opacity, tolerance=tolerance))


def check_kind(kind: str) -> None:
    """Raises UsageError if there is no such kind."""
    if kind not in KINDS:
        raise UsageError(f"there is no kind of output called {kind!r}", f"There are {', '.join(KINDS)}.")


def file_name(stem: str, kind: Kind) -> str:
    """The name of an output: street.png, street.json, street.geojson, street.color.png, street.overlay.jpg, …"""
    middle = "" if kind in ("mask", "json", "geojson") else f".{kind}"
    return f"{stem}{middle}{_OUTPUTS[kind].endings[0]}"


def needs(kinds: Iterable[Kind]) -> set[str]:
    """The optional fields of a segmentation that these kinds need."""
    return {output.needs for kind in kinds if (output := _OUTPUTS[kind]).needs}


def kinds_with(option: Option) -> tuple[Kind, ...]:
    """The kinds that take this option."""
    return tuple(kind for kind, output in _OUTPUTS.items() if output.option == option)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    ending: str
    opacity: float
    tolerance: float


def _encode_rgb(pixels: NDArray[np.uint8], ending: str) -> bytes:
    buffer = io.BytesIO()
    if ending == ".png":
        # The default level 6 saves 14 % on a photograph, and takes 4 times as long.
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    else:
        if max(pixels.shape) > _JPEG_SIDE:
            raise OutputError(f"JPEG is limited to {_JPEG_SIDE} pixels per side", "Save it as .png.")
        # Full colour resolution keeps thin lines and text sharp.
        Image.fromarray(pixels).save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def _encode_mask(result: SegmentedImage, options: _Options) -> bytes:
    return render.encode_mask(result.labels, result.palette, dataset=result.info.dataset, classes=result.classes)


def _encode_index(result: SegmentedImage, options: _Options) -> bytes:
    return render.encode_index(result.labels)


def _encode_confidence(result: SegmentedImage, options: _Options) -> bytes:
    assert result.confidence is not None
    return render.encode_grey(render.eight_bits(result.confidence))


def _encode_entropy(result: SegmentedImage, options: _Options) -> bytes:
    assert result.entropy is not None
    return render.encode_grey(render.eight_bits(result.entropy))


def _encode_scores(result: SegmentedImage, options: _Options) -> bytes:
    assert result.scores is not None
    arrays = {"scores": result.scores, "classes": np.array(result.classes)}
    if result.score_labels is not None:
        arrays["score_labels"] = result.score_labels
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _encode_json(result: SegmentedImage, options: _Options) -> bytes:
    return (json.dumps(result.to_json(), ensure_ascii=False, indent=2) + "\n").encode()


def _encode_color(result: SegmentedImage, options: _Options) -> bytes:
    return _encode_rgb(render.colorize(result.labels, result.palette), options.ending)


def _encode_overlay(result: SegmentedImage, options: _Options) -> bytes:
    return _encode_rgb(_overlay(result, options), options.ending)


def _encode_contour(result: SegmentedImage, options: _Options) -> bytes:
    assert result.image is not None
    return _encode_rgb(render.outlined(result.image, result.labels, result.palette), options.ending)


def _encode_side(result: SegmentedImage, options: _Options) -> bytes:
    assert result.image is not None
    return _encode_rgb(render.side_by_side(result.image, _overlay(result, options)), options.ending)


def _encode_legend(result: SegmentedImage, options: _Options) -> bytes:
    return _encode_rgb(render.legend(_overlay(result, options), result.shares()), options.ending)


def _encode_preview(result: SegmentedImage, options: _Options) -> bytes:
    assert result.image is not None
    height, width = result.labels.shape
    classes = [{"name": s.name, "colour": s.colour, "share": round(s.share, 6)} for s in result.shares()]
    about = {"name": result.name, "width": width, "height": height, "classes": classes}
    pixels = render.preview(result.image, result.labels, result.palette, opacity=options.opacity)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=82, comment=json.dumps(about).encode())
    return buffer.getvalue()


def _overlay(result: SegmentedImage, options: _Options) -> NDArray[np.uint8]:
    assert result.image is not None
    return render.overlay(result.image, result.labels, result.palette, opacity=options.opacity)


def _encode_coco(result: SegmentedImage, options: _Options) -> bytes:
    return vectors.encoded(vectors.coco(result.labels, result.classes, name=result.name))


def _encode_coco_polygons(result: SegmentedImage, options: _Options) -> bytes:
    document = vectors.coco_polygons(result.labels, result.classes, name=result.name, tolerance=options.tolerance)
    return vectors.encoded(document)


def _encode_geojson(result: SegmentedImage, options: _Options) -> bytes:
    return vectors.encoded(vectors.geojson(result.labels, result.classes, tolerance=options.tolerance))


def _encode_cvat(result: SegmentedImage, options: _Options) -> bytes:
    return vectors.cvat(result.labels, result.classes, name=result.name, tolerance=options.tolerance)


def _encode_label_studio(result: SegmentedImage, options: _Options) -> bytes:
    tasks = vectors.label_studio(
        result.labels, result.classes, name=result.name, model=result.info.model, tolerance=options.tolerance
    )
    return vectors.encoded(tasks)


@dataclass(frozen=True, slots=True)
class _Output:
    """A kind of output: its suffixes, its encoder, the optional field that it needs, and the option that it takes."""

    endings: tuple[str, ...]
    encode: Callable[[SegmentedImage, _Options], bytes]
    needs: Literal["image", "confidence", "entropy", "scores"] | None = None
    option: Option | None = None


_PHOTOGRAPH = (".jpg", ".jpeg", ".png")
_OUTPUTS: Mapping[Kind, _Output] = {
    "mask": _Output((".png",), _encode_mask),
    "index": _Output((".png",), _encode_index),
    "color": _Output((".png",), _encode_color),
    "overlay": _Output(_PHOTOGRAPH, _encode_overlay, "image", "opacity"),
    "contour": _Output(_PHOTOGRAPH, _encode_contour, "image"),
    "side": _Output(_PHOTOGRAPH, _encode_side, "image", "opacity"),
    "legend": _Output(_PHOTOGRAPH, _encode_legend, "image", "opacity"),
    "preview": _Output((".jpg",), _encode_preview, "image", "opacity"),
    "confidence": _Output((".png",), _encode_confidence, "confidence"),
    "entropy": _Output((".png",), _encode_entropy, "entropy"),
    "scores": _Output((".npz",), _encode_scores, "scores", "top"),
    "json": _Output((".json",), _encode_json),
    "coco": _Output((".json",), _encode_coco),
    "coco-polygons": _Output((".json",), _encode_coco_polygons, option="tolerance"),
    "geojson": _Output((".geojson",), _encode_geojson, option="tolerance"),
    "cvat": _Output((".xml",), _encode_cvat, option="tolerance"),
    "labelstudio": _Output((".json",), _encode_label_studio, option="tolerance"),
}
