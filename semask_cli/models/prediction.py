"""What a network knows about its input, at the resolution at which it knows it.

A `Prediction` answers one question, "your class map at these rows and columns", and never holds that map for the whole
input. Everything after it (windows, flips, scales, merging, labels) is written once, for all families.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

from torch import Tensor


@dataclass(frozen=True, slots=True)
class ClassMap:
    """A part of a class map, and the bilinear resizes that bring it to the size of the network's input.

    `maps` (classes, h, w) float32, a part of heights[0] x widths[0] that begins at `origin`, are resized through
    `heights` and `widths`. The operators of `ops.resize` take these as they stand.
    """

    maps: Tensor
    heights: tuple[int, ...]
    widths: tuple[int, ...]
    origin: tuple[int, int] = (0, 0)


class Prediction(Protocol):
    """The class map of one network input of `size` (height, width), padding not counted."""

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def nbytes(self) -> int:
        """The memory that it holds."""
        ...

    def class_map(self, rows: range, columns: range) -> ClassMap:
        """What these rows and columns of the input are made of."""
        ...

    def cpu(self) -> Self:
        """The same, in the CPU's memory."""
        ...


@dataclass(frozen=True, slots=True)
class DenseLogits:
    """Class logits (classes, h, w) of a Semantic-FPN, at a quarter of the input's `size`."""

    logits: Tensor
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return self.logits.nbytes

    def class_map(self, rows: range, columns: range) -> ClassMap:
        """The logits as they are, to be resized bilinearly."""
        (_, h, w), (height, width) = self.logits.shape, self.size
        return ClassMap(self.logits, (h, height), (w, width))

    def cpu(self) -> Self:
        return replace(self, logits=self.logits.cpu())
