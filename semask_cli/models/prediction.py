"""What a network knows about its input, at the resolution at which it knows it.

A `Prediction` answers one question, "your class map at these rows and columns", and never holds that map for the whole
input. Everything after it (windows, flips, scales, merging, labels) is written once, for all families.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from semask_cli.models.resampling import Taps, resample


class Prediction(Protocol):
    """The class map of one network input of `size` (height, width), padding not counted."""

    @property
    def size(self) -> tuple[int, int]: ...

    def resample(self, rows: Taps, columns: Taps) -> Tensor:
        """The class map, sampled along its rows and columns: (classes, rows, columns), float32."""
        ...


@dataclass(frozen=True, slots=True)
class DenseLogits:
    """Class logits (classes, h, w) of a Semantic-FPN, at a quarter of the input's `size`."""

    logits: Tensor
    size: tuple[int, int]

    def resample(self, rows: Taps, columns: Taps) -> Tensor:
        """Logits, resized bilinearly to the input's size and sampled there."""
        (_, h, w), (height, width) = self.logits.shape, self.size
        return resample(self.logits, rows.after(h, height), columns.after(w, width))

    def contenders(self) -> Tensor:
        """Which classes can win near a logit, at any size that this is resized to: bool (classes, h, w).

        However often it is resized bilinearly, a pixel remains a mean of up to 3 x 3 neighbouring logits (those of two
        neighbouring input pixels). A class whose greatest logit there is below another's least one cannot win.
        """
        bound = _of_neighbours(torch.minimum, self.logits).amax(0)
        bound -= 1e-5 * bound.abs() + 1e-5  # rounding
        return _of_neighbours(torch.maximum, self.logits) >= bound


def _of_neighbours(extreme: Callable[[Tensor, Tensor], Tensor], maps: Tensor) -> Tensor:
    """The minimum or maximum of each 3 x 3 neighbourhood of (C, h, w); torch's pooling takes ten times as long."""
    around = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    lines = extreme(extreme(around[:, :-2], around[:, 1:-1]), around[:, 2:])
    return extreme(extreme(lines[..., :-2], lines[..., 1:-1]), lines[..., 2:])
