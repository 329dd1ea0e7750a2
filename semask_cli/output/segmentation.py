"""What a prediction gives: the labels of one image, and all that can be written from them."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semask_cli.errors import OutputError, UsageError
from semask_cli.io.files import write_atomically
from semask_cli.output import render
from semask_cli.output.class_shares import ClassShare, class_shares

Kind = Literal["mask", "color", "overlay", "side", "legend", "json"]

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

    `labels` (H, W) uint8 are indices into the K `classes` and the `palette` (K, 3) uint8 RGB. Where they were kept,
    `image` (H, W, 3) is the image, uint8 RGB, and `confidence` (H, W) float32 the score of each pixel's class.
    """

    labels: NDArray[np.uint8]
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    info: RunInfo
    image: NDArray[np.uint8] | None = None
    confidence: NDArray[np.float32] | None = None

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

    def save(self, path: str | os.PathLike[str], *, kind: Kind = "mask", opacity: float = 0.5) -> None:
        """Write one file, making its folder where needed and replacing what stood there.

        `kind` is one of

        - "mask": palette PNG, the pixel value is the class index; see `render.encode_mask` for reading it back
        - "color": RGB PNG in the dataset's colours, which repeat: for the eye, not for reading back
        - "overlay": the image tinted with the classes' colours at `opacity` (0 to 1)
        - "side": the image and its overlay side by side
        - "legend": the overlay over a list of the classes and their shares
        - "json": the document of `to_json`

        Masks and colours end in .png, overlay, side and legend in .jpg or .png.

        Raises:
            UsageError: a kind, ending or opacity that does not exist, or an overlay without its image.
            OutputError: the file cannot be written, or is too large for a JPEG; nothing is left of it.
        """
        path = Path(path)
        if kind not in KINDS:
            raise UsageError(f"there is no kind of output called {kind!r}", f"There are {', '.join(KINDS)}.")
        output, ending = _OUTPUTS[kind], path.suffix.lower()
        if ending not in output.endings:
            raise UsageError(f"{path}: {kind} is written as {' or '.join(output.endings)}")
        if not 0 <= opacity <= 1:
            raise UsageError(f"an opacity of {opacity}: it goes from 0 to 1")
        if output.needs_image and self.image is None:
            raise UsageError(f"{kind} needs the image, and this segmentation was made without keeping it")
        write_atomically(path, output.encode(self, ending, opacity))


def file_name(stem: str, kind: Kind) -> str:
    """The name of an output: street.png, street.json, street.color.png, street.overlay.jpg, …"""
    middle = "" if kind in ("mask", "json") else f".{kind}"
    return f"{stem}{middle}{_OUTPUTS[kind].endings[0]}"


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


def _encode_mask(result: Segmentation, ending: str, opacity: float) -> bytes:
    return render.encode_mask(result.labels, result.palette, dataset=result.info.dataset, classes=result.classes)


def _encode_json(result: Segmentation, ending: str, opacity: float) -> bytes:
    return (json.dumps(result.to_json(), ensure_ascii=False, indent=2) + "\n").encode()


def _encode_color(result: Segmentation, ending: str, opacity: float) -> bytes:
    return _encode_rgb(render.colorize(result.labels, result.palette), ending)


def _encode_overlay(result: Segmentation, ending: str, opacity: float) -> bytes:
    return _encode_rgb(_overlay(result, opacity), ending)


def _encode_side(result: Segmentation, ending: str, opacity: float) -> bytes:
    assert result.image is not None
    return _encode_rgb(render.side_by_side(result.image, _overlay(result, opacity)), ending)


def _encode_legend(result: Segmentation, ending: str, opacity: float) -> bytes:
    return _encode_rgb(render.legend(_overlay(result, opacity), result.shares()), ending)


def _overlay(result: Segmentation, opacity: float) -> NDArray[np.uint8]:
    assert result.image is not None
    return render.overlay(result.image, result.labels, result.palette, opacity=opacity)


@dataclass(frozen=True, slots=True)
class _Output:
    """How a kind of output is written: from a segmentation, an ending and an opacity to the file's bytes."""

    endings: tuple[str, ...]
    encode: Callable[[Segmentation, str, float], bytes]
    needs_image: bool = False


_PHOTOGRAPH = (".jpg", ".jpeg", ".png")
_OUTPUTS: Mapping[Kind, _Output] = {
    "mask": _Output((".png",), _encode_mask),
    "color": _Output((".png",), _encode_color),
    "overlay": _Output(_PHOTOGRAPH, _encode_overlay, needs_image=True),
    "side": _Output(_PHOTOGRAPH, _encode_side, needs_image=True),
    "legend": _Output(_PHOTOGRAPH, _encode_legend, needs_image=True),
    "json": _Output((".json",), _encode_json),
}
