"""Maps to resize, and the published chain of resizes in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from semask_cli.ops import Resample

SIZES = [
    pytest.param((6, 24), (7, 28), id="to the input"),
    pytest.param((6, 24, 61), (7, 28, 83), id="to a larger image"),
    pytest.param((6, 24, 19), (7, 28, 30), id="to a smaller image"),
    pytest.param((6, 24, 13), (9, 36, 5), id="to an image smaller than the maps"),
    pytest.param((6,), (8,), id="not resized"),
    pytest.param((3, 11, 12), (6, 21, 43), id="odd sizes"),
]


CLOSE = 1e-5  # of numbers up to 10; positions are float32's, as in F.interpolate, and slopes are steep


def position_error(maps: Tensor) -> float:
    """What float32 positions may change: on each axis, in two resizes, a step of them times the steepest slope."""
    _, height, width = maps.shape
    return 2 * torch.finfo(torch.float32).eps * (height + width) * (maps.max() - maps.min()).item()


Span = tuple[int, int]


def tile(
    heights: tuple[int, ...], widths: tuple[int, ...], rows: Span, columns: Span, origin: tuple[int, int] = (0, 0)
) -> Resample:
    return Resample(heights, widths, range(*rows), range(*columns), origin)


def whole(heights: tuple[int, ...], widths: tuple[int, ...]) -> Resample:
    """All rows and columns of the result, from maps that are whole."""
    return tile(heights, widths, (0, heights[-1]), (0, widths[-1]))


def random_maps(heights: tuple[int, ...], widths: tuple[int, ...], *, maps: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(maps, heights[0], widths[0], generator=torch.Generator().manual_seed(seed)) * 3


def one_after_the_other(maps: Tensor, heights: tuple[int, ...], widths: tuple[int, ...]) -> Tensor:
    """As the published code resizes, in float64."""
    maps = maps.double()[None]
    for size in zip(heights[1:], widths[1:], strict=True):
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    return maps[0]
