"""Bilinear resizing of a part of a map, as two small matrix products.

A bilinear resize is linear and separable, and so is a chain of them: rows of the result are weighted sums of rows of
the source, and its columns of columns. `Taps` holds the weights for a range of positions along one axis; the taps of a
chain compose. Weights follow F.interpolate with align_corners False.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Taps:
    """Positions along an axis, as weighted sums of the source's positions `first` to `stop`.

    `weights` (positions, stop - first) float32; None where the positions are the source's own.
    """

    first: int
    stop: int
    weights: Tensor | None = None

    def after(self, source: int, size: int) -> Taps:
        """The same positions, of an axis that is itself resized from `source` to `size` positions."""
        inner = bilinear(source, size, self.first, self.stop)
        if self.weights is None or inner.weights is None:
            weights = inner.weights if self.weights is None else self.weights
        else:
            weights = self.weights @ inner.weights
        return Taps(inner.first, inner.stop, weights)

    def own(self) -> Taps:
        """The source's positions that are needed."""
        return Taps(self.first, self.stop)

    def inside(self) -> Taps:
        """The same weights, for a source that holds just the positions that are needed."""
        return Taps(0, self.stop - self.first, self.weights)


def bilinear(source: int, size: int, start: int, stop: int) -> Taps:
    """Positions `start` to `stop` of an axis resized from `source` to `size` positions."""
    if source == size:
        return Taps(start, stop)
    # As in F.interpolate: float32, pixel centres, clamped at the border.
    centre = ((torch.arange(start, stop, dtype=torch.float32) + 0.5) * (source / size) - 0.5).clamp_(min=0)
    above = centre.long().clamp_(max=source - 1)
    below = (above + 1).clamp_(max=source - 1)
    fraction = centre - above
    first, last = int(above[0]), int(below[-1]) + 1
    weights = torch.zeros(stop - start, last - first)
    place = torch.arange(stop - start)
    weights[place, above - first] = 1 - fraction
    weights[place, below - first] += fraction
    return Taps(first, last, weights)


def resample(maps: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """The taps' rows and columns of `maps` (C, h, w), float32: (C, rows, columns)."""
    part = maps[:, rows.first : rows.stop, columns.first : columns.stop]
    if rows.weights is not None:
        part = rows.weights.to(part.device) @ part
    if columns.weights is not None:
        part = part @ columns.weights.T.to(part.device)
    return part
