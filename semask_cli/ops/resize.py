"""Bilinear resizes of class and mask maps, fused with what follows them: no class map of the image's size is written.

A bilinear resize is linear and separable, and so is a chain of them. Where a map is resized twice, from the network's
stride to its input and from there to the image, the two are one resize: each number of the result is a weighted mean
of 3 x 3 neighbours. Weights follow F.interpolate with align_corners False.

All operators take the same arguments:

    maps: (maps, h, w), floating: a part of maps of heights[0] x widths[0] that begins at `origin` (row, column).
    heights: the sizes that the vertical axis goes through, from the maps' own to the result's.
    widths: those of the horizontal axis.
    rows: the first row of the result that is wanted, and the row after the last.
    columns: likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = 3


def plain_argmax(
    maps: Tensor,
    heights: Sequence[int],
    widths: Sequence[int],
    rows: Sequence[int],
    columns: Sequence[int],
    origin: Sequence[int],
) -> Tensor:
    """Which of at most 256 maps is greatest, the first of equals: uint8 (rows, columns)."""
    part, down, across = _operands(maps, heights, widths, rows, columns, origin)
    # To find out which maps can be greatest is worth it where each of their numbers serves several of the result.
    if part[0].numel() * 4 > (rows[1] - rows[0]) * (columns[1] - columns[0]):
        return greatest(_product(part, down, across))[1]
    kept = _contenders(part)
    return kept.to(torch.uint8)[greatest(_product(part[kept], down, across))[1].int()]


resize_argmax = torch.library.custom_op("semask::resize_argmax", plain_argmax, mutates_args=())


@resize_argmax.register_fake
def _(maps: Tensor, *resize: Sequence[int]) -> Tensor:
    return maps.new_empty(wanted(*resize), dtype=torch.uint8)


def plain_accumulate(
    scores: Tensor,
    maps: Tensor,
    heights: Sequence[int],
    widths: Sequence[int],
    rows: Sequence[int],
    columns: Sequence[int],
    origin: Sequence[int],
    *,
    flip: bool = False,
    softmax: bool = False,
) -> None:
    """Add the resized maps to `scores` (maps, rows, columns), float32.

    After the resize comes `softmax` over the maps, then `flip`, left to right.
    """
    part = resized(maps, heights, widths, rows, columns, origin)
    part = part.softmax(0) if softmax else part
    scores += part.flip(2) if flip else part


resize_accumulate = torch.library.custom_op("semask::resize_accumulate", plain_accumulate, mutates_args=("scores",))


def plain_sigmoid(
    maps: Tensor,
    heights: Sequence[int],
    widths: Sequence[int],
    rows: Sequence[int],
    columns: Sequence[int],
    origin: Sequence[int],
) -> Tensor:
    """The sigmoid of the resized maps: float32 (maps, rows, columns)."""
    return resized(maps, heights, widths, rows, columns, origin).sigmoid()


resize_sigmoid = torch.library.custom_op("semask::resize_sigmoid", plain_sigmoid, mutates_args=())


@resize_sigmoid.register_fake
def _(maps: Tensor, *resize: Sequence[int]) -> Tensor:
    return maps.new_empty(maps.shape[0], *wanted(*resize), dtype=torch.float32)


def resized(maps: Tensor, *resize: Sequence[int]) -> Tensor:
    """The resized maps, (maps, rows, columns), at least float32.

    Raises:
        ValueError: the maps do not hold what is wanted of them.
    """
    return _product(*_operands(maps, *resize))


def wanted(
    heights: Sequence[int], widths: Sequence[int], rows: Sequence[int], columns: Sequence[int], origin: Sequence[int]
) -> tuple[int, int]:
    """How many rows and columns the result has."""
    return rows[1] - rows[0], columns[1] - columns[0]


def greatest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """scores.max(0) of at most 256 maps: the best score, and its map as uint8, the first of equals."""
    if scores.device.type != "cpu":
        best, index = scores.max(0)
        return best, index.to(torch.uint8)
    # Torch finds a maximum along the first dimension twenty times as fast as its index.
    best = scores.amax(0)
    countdown = torch.arange(len(scores) - 1, -1, -1, dtype=torch.uint8)
    ahead = (scores == best).view(torch.uint8).mul_(countdown[:, None, None]).amax(0)
    return best, len(scores) - 1 - ahead


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
        # In float32, as F.interpolate places them.
        centre = ((torch.arange(size, dtype=torch.float32) + 0.5) * (source / size) - 0.5).clamp_(0, source - 1)
        below = centre.long()
        above = (below + 1).clamp_(max=source - 1)
        fraction = (centre - below).double()[:, None]
        apart = (first[above] - first[below]).clamp_(max=TAPS)[:, None]
        reach = torch.zeros(size, 2 * TAPS, dtype=torch.float64)
        reach[:, :TAPS] = weights[below] * (1 - fraction)
        reach.scatter_add_(1, apart + torch.arange(TAPS), weights[above] * fraction)
        if reach[:, TAPS:].any():
            raise ValueError(f"an axis resized through {sizes} shrinks before its last resize")
        first, weights = first[below], reach[:, :TAPS]
    return first, weights.float()


@lru_cache(maxsize=1024)
def needed(sizes: tuple[int, ...], start: int, stop: int) -> range:
    """Which numbers of the axis of sizes[0] the numbers `start` to `stop` of the resized axis are made of."""
    if len(set(sizes)) == 1:
        return range(start, stop)
    neighbours, weights = _neighbours(sizes, start, stop)
    return range(int(neighbours[0, 0]), int(neighbours[weights != 0].max()) + 1)


@lru_cache(maxsize=256)
def _dense_weights(sizes: tuple[int, ...], start: int, stop: int) -> Tensor | None:
    """The weights of the numbers that are needed: float32 (stop - start, needed); None where they are the result."""
    if len(set(sizes)) == 1:
        return None
    source = needed(sizes, start, stop)
    neighbours, weights = _neighbours(sizes, start, stop)
    dense = torch.zeros(stop - start, len(source) + TAPS).scatter_(1, neighbours - source.start, weights)
    return dense[:, : len(source)].contiguous()


def _neighbours(sizes: tuple[int, ...], start: int, stop: int) -> tuple[Tensor, Tensor]:
    """What numbers `start` to `stop` are made of: places on the axis of sizes[0], and weights, (stop - start, 3)."""
    first, weights = bilinear_taps(sizes)
    return first[start:stop, None] + torch.arange(TAPS), weights[start:stop]


def check(maps: Tensor, heights: Sequence[int], widths: Sequence[int], origin: Sequence[int]) -> None:
    """What all operators ask of their maps.

    Raises:
        ValueError: they are not a part of heights[0] x widths[0].
    """
    (_, h, w), (y, x) = maps.shape, origin
    if min(y, x) < 0 or y + h > heights[0] or x + w > widths[0]:
        raise ValueError(f"maps of {h} x {w} do not lie in {heights[0]} x {widths[0]} from {tuple(origin)} on")


def _operands(
    maps: Tensor,
    heights: Sequence[int],
    widths: Sequence[int],
    rows: Sequence[int],
    columns: Sequence[int],
    origin: Sequence[int],
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The part of the maps that the result is made of, and the weights of its rows and columns."""
    check(maps, heights, widths, origin)
    (_, h, w), (y, x) = maps.shape, origin
    ys, xs = needed(tuple(heights), *rows), needed(tuple(widths), *columns)
    for asked, held in ((ys, range(y, y + h)), (xs, range(x, x + w))):
        if asked.start < held.start or asked.stop > held.stop:
            raise ValueError(f"numbers {asked.start} to {asked.stop} are wanted of {held.start} to {held.stop}")
    part = maps[:, ys.start - y : ys.stop - y, xs.start - x : xs.stop - x]
    down, across = _dense_weights(tuple(heights), *rows), _dense_weights(tuple(widths), *columns)
    return part.to(torch.promote_types(maps.dtype, torch.float32)), down, across


def _product(part: Tensor, down: Tensor | None, across: Tensor | None) -> Tensor:
    """The resize, as two small matrix products."""
    part = part if down is None else down.to(part) @ part
    return part if across is None else part @ across.to(part).T


def _contenders(part: Tensor) -> Tensor:
    """The maps that can be greatest somewhere, however this is resized: their indices, ascending.

    A number of the result is a mean of 3 x 3 neighbours. A map whose greatest number there is below another's least one
    cannot be the greatest.
    """
    bound = _of_neighbours(torch.minimum, part).amax(0)
    bound -= 1e-5 * bound.abs() + 1e-5  # rounding
    beaten = _of_neighbours(torch.maximum, part) < bound  # never where anything is NaN
    return beaten.flatten(1).all(1).logical_not_().nonzero()[:, 0]


def _of_neighbours(extreme: Callable[[Tensor, Tensor], Tensor], maps: Tensor) -> Tensor:
    """The minimum or maximum of each 3 x 3 neighbourhood of (maps, h, w); torch's pooling takes ten times as long."""
    around = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    lines = extreme(extreme(around[:, :-2], around[:, 1:-1]), around[:, 2:])
    return extreme(extreme(lines[..., :-2], lines[..., 1:-1]), lines[..., 2:])
