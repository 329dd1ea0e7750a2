"""What a network knows about its input, at the resolution at which it knows it.

A `Prediction` answers one question, "your class map for the rows y0 to y1 of your input", and never holds that map for
the whole input. Everything after it (windows, flips, scales, merging, labels) is written once, for all families.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Prediction(Protocol):
    """The class map of one network input of `size` (height, width), without padding."""

    @property
    def size(self) -> tuple[int, int]: ...

    def rows(self, y0: int, y1: int) -> Tensor:
        """Rows y0 to y1 of the class map at the input's size: (1, classes, y1 - y0, width), float32."""
        ...


@dataclass(frozen=True, slots=True)
class DenseLogits:
    """Class logits (classes, h, w) of a Semantic-FPN, at a quarter of the input's `size`."""

    logits: Tensor
    size: tuple[int, int]

    def rows(self, y0: int, y1: int) -> Tensor:
        """Logits, resized bilinearly (align_corners False) to the input's size."""
        return resize_rows(self.logits[None], self.size, y0, y1)
