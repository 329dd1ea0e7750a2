"""How an image is looked at: at which sizes, flipped or not, whole or through windows.

Sizes follow the published test pipelines: MMSegmentation's for the Semantic-FPN rows (OpenCV), detectron2's for the
mask-classification rows (Pillow; multi-scale views are resized from the resized image, not from the file).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from semask_cli.errors import UsageError
from semask_cli.zoo import ModelSpec

Mode = Literal["whole", "slide"]
Scales = tuple[float, ...] | Literal["native"] | None

# ImageNet's mean and standard deviation of R, G, B on the scale 0 to 255, as in every published configuration.
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How images are looked at.

    `scales` are factors of the row's test size; None is the test size itself, "native" the image as it is. In mode
    "slide" windows of `crop` (height, width) are placed every `stride` pixels over each view.
    """

    mode: Mode = "whole"
    crop: tuple[int, int]
    stride: tuple[int, int]
    scales: Scales = None
    flip: bool = False

    def __post_init__(self) -> None:
        if self.mode not in ("whole", "slide"):
            raise UsageError(f"mode {self.mode!r} is neither whole nor slide")
        if min(*self.crop, *self.stride) < 1 or self.stride[0] > self.crop[0] or self.stride[1] > self.crop[1]:
            raise UsageError(f"stride {self.stride} must be between 1 and the crop {self.crop}, or pixels are missed")
        if self.scales is not None and self.scales != "native" and (not self.scales or min(self.scales) <= 0):
            raise UsageError(f"scales must be positive numbers, not {self.scales}")


@dataclass(frozen=True, slots=True)
class Size:
    """A view's (height, width), and the size the image passes through on its way there, if any."""

    height: int
    width: int
    via: tuple[int, int] | None = None


def view_sizes(spec: ModelSpec, recipe: Recipe, height: int, width: int) -> list[Size]:
    """The sizes at which a (height, width) image is looked at, in the published order.

    Raises:
        UsageError: a scale makes the image vanish.
    """
    if recipe.scales == "native":
        return [Size(height, width)]
    short, long = spec.short_side, spec.long_side
    if spec.family == "fpn":
        scales = recipe.scales or (1.0,)
        sizes = [Size(*_fit(height, width, short=int(short * s), long=int(long * s))) for s in scales]
    else:
        base = _shortest_edge(height, width, short=short, long=long)
        sizes = [Size(*base)]
        if recipe.scales is not None:
            long = spec.ms_long_side
            sizes = [Size(*_shortest_edge(*base, short=int(short * s), long=long), base) for s in recipe.scales]
    if any(min(size.height, size.width) < 1 for size in sizes):
        raise UsageError(f"a scale of {recipe.scales} leaves nothing of an image of {width} x {height}")
    return sizes


def _fit(height: int, width: int, *, short: int, long: int) -> tuple[int, int]:
    """The largest size within (long, short), proportions kept (MMSegmentation's rescaling)."""
    factor = min(long / max(height, width), short / min(height, width))
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def _shortest_edge(height: int, width: int, *, short: int, long: int) -> tuple[int, int]:
    """Short side to `short`, long side at most `long` (detectron2's ResizeShortestEdge)."""
    scale = short / min(height, width)
    h, w = (short, scale * width) if height < width else (scale * height, short)
    if max(h, w) > long:
        scale = long / max(h, w)
        h, w = h * scale, w * scale
    return max(1, int(h + 0.5)), max(1, int(w + 0.5))


def resize(image: NDArray[np.uint8], size: Size, *, family: str) -> NDArray[np.uint8]:
    """The uint8 RGB image (H, W, 3) at a view's size, with the family's own resampling."""
    for height, width in filter(None, (size.via, (size.height, size.width))):
        if image.shape[:2] == (height, width):
            continue
        if family == "fpn":
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        else:
            image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    return image


def normalise(images: list[NDArray[np.uint8]], device: torch.device) -> Tensor:
    """Images (H, W, 3) of one size, uint8 RGB -> float32 (B, 3, H, W) on `device`, channels last in memory."""
    pixels = torch.from_numpy(np.stack(images))
    if device.type == "cuda":
        pixels = pixels.pin_memory()
    # Dividing, as published: a product with the reciprocal differs in the last bit.
    mean, std = (torch.from_numpy(value).to(device) for value in (MEAN, STD))
    return pixels.to(device, non_blocking=True).float().sub_(mean).div_(std).permute(0, 3, 1, 2)


def windows(height: int, width: int, recipe: Recipe) -> Iterator[list[tuple[slice, slice]]]:
    """The windows over a (height, width) view, row by row; the last of each direction is shifted back inside."""
    (crop_h, crop_w), (stride_h, stride_w) = recipe.crop, recipe.stride
    columns = [slice(x, x + min(crop_w, width)) for x in _starts(width, crop_w, stride_w)]
    for y in _starts(height, crop_h, stride_h):
        yield [(slice(y, y + min(crop_h, height)), x) for x in columns]


def _starts(length: int, crop: int, stride: int) -> list[int]:
    count = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride, length - crop), 0) for i in range(count)]
