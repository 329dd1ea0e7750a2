"""Chained bilinear resizes as one weighted mean of 3 x 3 neighbours.

A bilinear resize is linear and separable, and so is a chain of them: from the network's stride to its input, and from
there to the image. Weights are those of F.interpolate with align_corners False.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor

TAPS = 3  # neighbours on an axis

PlainResample = tuple[tuple[int, ...], tuple[int, ...], tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Resample:
    """Chained bilinear resizes of a part of some maps, and the tile of the result to compute.

    `heights` and `widths` are the successive sizes of each axis, from the whole maps to the result. `rows` and
    `columns` are those of the tile. The available part starts at `origin` (row, column) of the whole maps.
    """

    heights: tuple[int, ...]
    widths: tuple[int, ...]
    rows: range
    columns: range
    origin: tuple[int, int] = (0, 0)

    @property
    def output_shape(self) -> tuple[int, int]:
        """(rows, columns) of the tile."""
        return len(self.rows), len(self.columns)

    def to_plain(self) -> PlainResample:
        """The arguments for an operator's schema: only sequences of integers."""
        rows, columns = (self.rows.start, self.rows.stop), (self.columns.start, self.columns.stop)
        return self.heights, self.widths, rows, columns, self.origin

    @classmethod
    def from_plain(
        cls,
        heights: Sequence[int],
        widths: Sequence[int],
        rows: Sequence[int],
        columns: Sequence[int],
        origin: Sequence[int],
    ) -> Self:
        """The reverse of `to_plain`."""
        return cls(tuple(heights), tuple(widths), range(*rows), range(*columns), (origin[0], origin[1]))

    def check(self, maps: Tensor) -> None:
        """Raises ValueError if `maps` (maps, h, w) are not a part of heights[0] x widths[0]."""
        (_, h, w), (y, x) = maps.shape, self.origin
        if min(y, x) < 0 or y + h > self.heights[0] or x + w > self.widths[0]:
            raise ValueError(f"maps of {h} x {w} do not lie in {self.heights[0]} x {self.widths[0]} from {(y, x)} on")


@lru_cache(maxsize=64)
def bilinear_taps(sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The neighbours and weights of every position of an axis that is resized through `sizes`.

    Returns:
        The first of three neighbours on the axis of sizes[0], int64 (sizes[-1],), and their weights, float32
        (sizes[-1], 3): zero for those beyond the axis.

    Raises:
        ValueError: three neighbours are too few, because the axis shrinks before its last resize.
    """
    first = torch.arange(sizes[0])
    weights = torch.eye(1, TAPS, dtype=torch.float64).repeat(sizes[0], 1)
    for source, size in pairwise(sizes):
        # In float32, as in F.interpolate.
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
def source_range(sizes: tuple[int, ...], output: range) -> range:
    """The positions on the axis of sizes[0] that the positions `output` of the resized axis are interpolated from."""
    if len(set(sizes)) == 1:
        return output
    neighbours, weights = _neighbours(sizes, output)
    return range(int(neighbours[0, 0]), int(neighbours[weights != 0].max()) + 1)


@lru_cache(maxsize=256)
def interpolation_matrix(sizes: tuple[int, ...], output: range) -> Tensor | None:
    """float32 (len(output), len(source_range)): the resize of an axis as a matrix; None where it is the identity."""
    if len(set(sizes)) == 1:
        return None
    source = source_range(sizes, output)
    neighbours, weights = _neighbours(sizes, output)
    matrix = torch.zeros(len(output), len(source) + TAPS).scatter_(1, neighbours - source.start, weights)
    return matrix[:, : len(source)].contiguous()


def _neighbours(sizes: tuple[int, ...], output: range) -> tuple[Tensor, Tensor]:
    """Neighbours on the axis of sizes[0], int64, and their weights, each (len(output), TAPS)."""
    first, weights = bilinear_taps(sizes)
    return first[output.start : output.stop, None] + torch.arange(TAPS), weights[output.start : output.stop]
