"""The output of a network, at its own resolution.

A `Prediction` returns the class map for some rows and columns, and never holds it for the whole input. Everything after
it (windows, flips, scales, merging, labels) is common to all families.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from semask_cli.ops import Resample


@dataclass(frozen=True, slots=True)
class ClassMap:
    """A part of a class map, and the bilinear resizes from it to the size of the network's input.

    `maps` (classes, h, w) float32 are a part, at `origin`, of a map of heights[0] x widths[0]. `heights` and `widths`
    are the sizes of the chained resizes, up to the input's.
    """

    maps: Tensor
    heights: tuple[int, ...]
    widths: tuple[int, ...]
    origin: tuple[int, int] = (0, 0)

    def resample(self, rows: range, columns: range, *, size: tuple[int, int] | None = None) -> Resample:
        """The resizes to these rows and columns of the input, or of an image of `size` that the input is resized to."""
        heights, widths = self.heights, self.widths
        if size is not None:
            heights, widths = (*heights, size[0]), (*widths, size[1])
        return Resample(heights, widths, rows, columns, self.origin)


class Prediction(Protocol):
    """The class map of one network input of `size` (height, width), padding not counted."""

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def nbytes(self) -> int:
        """Bytes that it holds now."""
        ...

    @property
    def buffer_nbytes(self) -> int:
        """The most bytes that it buffers while whole rows are requested from top to bottom.

        For a band of columns it is proportionally less.
        """
        ...

    def class_map(self, rows: range, columns: range) -> ClassMap:
        """The class map at these rows and columns of the input, with the resizes still to apply."""
        ...

    def to(self, device: torch.device) -> Self:
        """The same prediction with class maps on `device`."""
        ...

    def released(self) -> Self:
        """The same prediction with an empty buffer, to be requested from the top again."""
        ...


@dataclass(frozen=True, slots=True)
class DenseLogits:
    """Class logits (classes, h, w) of a Semantic-FPN, at a quarter of the input's `size`."""

    logits: Tensor
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return self.logits.nbytes

    @property
    def buffer_nbytes(self) -> int:
        return 0

    def class_map(self, rows: range, columns: range) -> ClassMap:
        """The logits, to be resized bilinearly."""
        (_, h, w), (height, width) = self.logits.shape, self.size
        return ClassMap(self.logits, (h, height), (w, width))

    def to(self, device: torch.device) -> Self:
        return replace(self, logits=self.logits.to(device))

    def released(self) -> Self:
        return self
