"""Bilinear resizes of class and mask maps, fused with what follows them: no class map of the picture's size is written.

Where a map is resized twice, from the network's stride to its input and from there to the picture, the two are one
resize: each number of the result is a weighted mean of 3 x 3 neighbours. Align_corners is False everywhere.
`heights` and `widths` say through which sizes a map goes: its own, any in between, the result's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

TAPS = 3


def plain_argmax(
    maps: Tensor, heights: Sequence[int], widths: Sequence[int], y0: int, y1: int, *, first_row: int = 0
) -> Tensor:
    """Which map is greatest, the first of equals, in rows y0 to y1 of the resized maps.

    Args:
        maps: (maps, h, widths[0]), at most 256, floating: the rows of heights[0] that are needed, from `first_row` on.
        heights: sizes of the vertical axis, from the maps' to the result's.
        widths: sizes of the horizontal axis.
        y0: first row of the result.
        y1: the row after the last.
        first_row: of the heights[0] rows, the one that `maps` begin with.

    Returns:
        uint8 (y1 - y0, widths[-1]).
    """
    return resized(maps, heights, widths, y0, y1, first_row).max(0).indices.to(torch.uint8)


resize_argmax = torch.library.custom_op("semask::resize_argmax", plain_argmax, mutates_args=())


@resize_argmax.register_fake
def _(maps: Tensor, heights: Sequence[int], widths: Sequence[int], y0: int, y1: int, *, first_row: int = 0) -> Tensor:
    return maps.new_empty(y1 - y0, widths[-1], dtype=torch.uint8)


def plain_accumulate(
    scores: Tensor,
    maps: Tensor,
    heights: Sequence[int],
    widths: Sequence[int],
    y0: int,
    y1: int,
    *,
    first_row: int = 0,
    flip: bool = False,
    softmax: bool = False,
) -> None:
    """Add rows y0 to y1 of the resized maps to `scores` (maps, y1 - y0, widths[-1]), float32.

    The arguments are those of `resize_argmax`; after the resize comes `softmax` over the maps, then `flip`, left to
    right.
    """
    rows = resized(maps, heights, widths, y0, y1, first_row)
    rows = rows.softmax(0) if softmax else rows
    scores += rows.flip(2) if flip else rows


resize_accumulate = torch.library.custom_op("semask::resize_accumulate", plain_accumulate, mutates_args=("scores",))


def plain_sigmoid(maps: Tensor, heights: Sequence[int], widths: Sequence[int], y0: int, y1: int) -> Tensor:
    """The sigmoid of rows y0 to y1 of the resized maps: float32 (maps, y1 - y0, widths[-1]).

    The arguments are those of `resize_argmax`.
    """
    return resized(maps, heights, widths, y0, y1).sigmoid()


resize_sigmoid = torch.library.custom_op("semask::resize_sigmoid", plain_sigmoid, mutates_args=())


@resize_sigmoid.register_fake
def _(maps: Tensor, heights: Sequence[int], widths: Sequence[int], y0: int, y1: int) -> Tensor:
    return maps.new_empty(maps.shape[0], y1 - y0, widths[-1], dtype=torch.float32)


@lru_cache(maxsize=64)
def bilinear_taps(sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Where the numbers of an axis come from that is resized from sizes[0] to sizes[1], and so on to sizes[-1].

    Returns:
        The first of three neighbours on the axis of sizes[0], int64 (sizes[-1],), and their weights, float32
        (sizes[-1], 3): zero for those that lie behind the axis.

    Raises:
        ValueError: three neighbours are too few, because the axis shrinks before it is resized again.
    """
    first = torch.arange(sizes[0])
    weights = torch.eye(1, TAPS, dtype=torch.float64).repeat(sizes[0], 1)
    for source, size in pairwise(sizes):
        centre = ((torch.arange(size, dtype=torch.float64) + 0.5) * (source / size) - 0.5).clamp_(0, source - 1)
        below = centre.long()
        above = (below + 1).clamp_(max=source - 1)
        fraction = (centre - below)[:, None]
        apart = (first[above] - first[below]).clamp_(max=TAPS)[:, None]
        reach = torch.zeros(size, 2 * TAPS, dtype=torch.float64)
        reach[:, :TAPS] = weights[below] * (1 - fraction)
        reach.scatter_add_(1, apart + torch.arange(TAPS), weights[above] * fraction)
        if reach[:, TAPS:].any():
            raise ValueError(f"an axis resized through {sizes} shrinks before its last resize")
        first, weights = first[below], reach[:, :TAPS]
    return first, weights.float()


def resized(
    maps: Tensor, heights: Sequence[int], widths: Sequence[int], y0: int, y1: int, first_row: int = 0
) -> Tensor:
    """Rows y0 to y1 of the resized maps, (maps, y1 - y0, widths[-1]), at least float32.

    Raises:
        ValueError: the maps do not have these sizes.
    """
    check(maps, heights, widths, first_row)
    first, weights = bilinear_taps(tuple(heights))
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    maps = _weighted(maps, first[y0:y1] - first_row, weights[y0:y1], dim=1)
    return _weighted(maps, *bilinear_taps(tuple(widths)), dim=2)


def check(maps: Tensor, heights: Sequence[int], widths: Sequence[int], first_row: int) -> None:
    """What all operators ask of their maps.

    Raises:
        ValueError: the maps do not have these sizes.
    """
    rows, width = maps.shape[1:]
    if width != widths[0] or first_row < 0 or first_row + rows > heights[0]:
        raise ValueError(f"maps of {rows} x {width} do not lie in {heights[0]} x {widths[0]} from row {first_row} on")


def _weighted(maps: Tensor, first: Tensor, weights: Tensor, *, dim: int) -> Tensor:
    taps = (first[:, None] + torch.arange(TAPS)).clamp_(max=maps.shape[dim] - 1).to(maps.device)
    weights = weights.to(maps).view(-1, TAPS, *[1] * (2 - dim))
    total = maps.index_select(dim, taps[:, 0]) * weights[:, 0]
    for tap in range(1, TAPS):
        total += maps.index_select(dim, taps[:, tap]) * weights[:, tap]
    return total
