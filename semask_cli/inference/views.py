"""The network's inputs: the sizes of an image's views, and its pixels as a tensor.

Sizes and resampling follow the published test pipelines, since scores depend on both: MMSegmentation's for Semantic-FPN
(OpenCV), detectron2's for mask classification (Pillow).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import PIL.Image
import torch
from torch import Tensor

from semask_cli.errors import UsageError
from semask_cli.inference.config import InferenceConfig
from semask_cli.inference.stopwatch import Stopwatch
from semask_cli.inference.transfers import to_device
from semask_cli.io.images import MAX_PIXELS, RGB
from semask_cli.zoo import ModelSpec, Preprocessing

# ImageNet's mean and standard deviation of R, G, B on the scale 0 to 255, as in every published configuration.
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)


@dataclass(frozen=True, slots=True)
class Size:
    """A view's (height, width), and an intermediate size of its resize, if any."""

    height: int
    width: int
    via: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """A decoded image: its `pixels`, uint8 RGB (H, W, 3), and its resized views before mirroring.

    `watch` has the times so far.
    """

    pixels: RGB
    views: tuple[RGB, ...]
    watch: Stopwatch

    @property
    def network_bytes(self) -> int:
        """The memory of a pass over the largest view, in bytes, at most: measured in float32 on a CPU."""
        return 750 * max(view.shape[0] * view.shape[1] for view in self.views)


def view_sizes(spec: ModelSpec, config: InferenceConfig, height: int, width: int) -> list[Size]:
    """The sizes of the views of a (height, width) image, in the published order.

    Raises:
        UsageError: a scale makes the image larger than any that is read.
    """
    if config.scales == "native":
        return [Size(height, width)]
    sizes = _TEST_PIPELINES[spec.preprocessing].sizes(spec, config.scales, height, width)
    if any(size.height * size.width > MAX_PIXELS for size in sizes):
        raise UsageError(f"a scale of {config.scales} makes more than {MAX_PIXELS} pixels of {width} x {height}")
    return sizes


def resize(image: RGB, size: Size, *, preprocessing: Preprocessing) -> RGB:
    """Resize a uint8 RGB image (H, W, 3) to a view's size, with the resampling of the published pipeline."""
    for height, width in filter(None, (size.via, (size.height, size.width))):
        if image.shape[:2] != (height, width):
            image = _TEST_PIPELINES[preprocessing].resize(image, height, width)
    return image


def mirrored(view: RGB, flip: bool) -> RGB:
    """The view, mirrored horizontally if `flip`."""
    return np.ascontiguousarray(view[:, ::-1]) if flip else view


def _mmseg_sizes(spec: ModelSpec, scales: tuple[float, ...] | None, height: int, width: int) -> list[Size]:
    """The largest size within (long side, short side), proportions kept: mmcv's imrescale."""
    sizes = []
    for scale in scales or (1.0,):
        short, long = int(spec.short_side * scale), int(spec.long_side * scale)
        factor = min(long / max(height, width), short / min(height, width))
        sizes.append(Size(max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))))
    return sizes


def _detectron2_sizes(spec: ModelSpec, scales: tuple[float, ...] | None, height: int, width: int) -> list[Size]:
    """detectron2's ResizeShortestEdge; multi-scale views are resized from the resized image, not from the file."""
    base = _shortest_edge(height, width, short=spec.short_side, long=spec.long_side)
    if scales is None:
        return [Size(*base)]
    shorts = (int(spec.short_side * scale) for scale in scales)
    return [Size(*_shortest_edge(*base, short=short, long=spec.ms_long_side), base) for short in shorts]


def _shortest_edge(height: int, width: int, *, short: int, long: int) -> tuple[int, int]:
    """Short side to `short`, long side at most `long`."""
    scale = short / min(height, width)
    h, w = (short, scale * width) if height < width else (scale * height, short)
    if max(h, w) > long:
        scale = long / max(h, w)
        h, w = h * scale, w * scale
    return max(1, int(h + 0.5)), max(1, int(w + 0.5))


def _opencv_resize(image: RGB, height: int, width: int) -> RGB:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _pillow_resize(image: RGB, height: int, width: int) -> RGB:
    """Pillow's bilinear filter. Unlike OpenCV's, it is antialiased when shrinking."""
    return np.asarray(PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BILINEAR))


@dataclass(frozen=True, slots=True)
class _TestPipeline:
    """The preprocessing of a code base; `resampling` describes `resize`."""

    sizes: Callable[[ModelSpec, tuple[float, ...] | None, int, int], list[Size]]
    resize: Callable[[RGB, int, int], RGB]
    resampling: str


_TEST_PIPELINES: Mapping[Preprocessing, _TestPipeline] = {
    "mmseg": _TestPipeline(_mmseg_sizes, _opencv_resize, "OpenCV, bilinear"),
    "detectron2": _TestPipeline(_detectron2_sizes, _pillow_resize, "Pillow, bilinear"),
}


def resampling(preprocessing: Preprocessing) -> str:
    """The library and filter of `resize`, for people."""
    return _TEST_PIPELINES[preprocessing].resampling


def normalise(images: Sequence[RGB], device: torch.device) -> Tensor:
    """Images (H, W, 3) of one size, uint8 RGB -> float32 (B, 3, H, W) on `device`, channels last in memory."""
    pixels = to_device(images, device)
    # Division, as published: multiplying by the reciprocal differs in the last bit.
    mean, std = _statistics(device)
    return pixels.float().sub_(mean).div_(std).permute(0, 3, 1, 2)


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (3,) float32, copied once: a copy from unpinned memory waits for the device."""
    mean, std = (torch.from_numpy(value).to(device) for value in (MEAN, STD))
    return mean, std
