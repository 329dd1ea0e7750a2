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
    """The class map of one network input of `size` (height, width), padding not counted."""

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
        """Logits, resized bilinearly to the input's size."""
        return resize_rows(self.logits[None], self.size, y0, y1)

    def contenders(self) -> Tensor:
        """The classes that can win a pixel at any size that this is resized to: indices, ascending.

        However often it is resized bilinearly, a pixel remains a mean of up to 3 x 3 neighbouring logits (of input
        pixels that are neighbours). A class whose greatest logit there is below another's least one cannot win.
        """
        around = F.pad(self.logits[None], (1, 1, 1, 1), mode="replicate")
        most, least = (sign * F.max_pool2d(sign * around, 3, stride=1) for sign in (1, -1))
        bound = least.amax(1, keepdim=True)
        bound -= 1e-5 * bound.abs() + 1e-5  # rounding
        return (most >= bound).flatten(2).any(2)[0].nonzero()[:, 0]


def resize_rows(x: Tensor, size: tuple[int, int], y0: int, y1: int) -> Tensor:
    """Rows y0 to y1 of `x` (1, C, h, w) resized bilinearly (align_corners False) to `size`: (1, C, y1 - y0, size[1]).

    The same arithmetic as F.interpolate on the whole, at the price of the rows asked for.
    """
    height, width = size
    if x.shape[2] != height:
        above, below, fraction = (t.to(x.device) for t in source_rows(x.shape[2], height, y0, y1))
        x = torch.lerp(x.index_select(2, above), x.index_select(2, below), fraction[:, None])
    else:
        x = x[:, :, y0:y1]
    if x.shape[3] != width:
        x = F.interpolate(x, (y1 - y0, width), mode="bilinear", align_corners=False)
    return x


def source_rows(rows: int, size: int, y0: int, y1: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where the rows y0 to y1 of a map of `size` rows come from, when it is resized from one of `rows` rows.

    Returns, on the CPU, the row above and the row below, int64 (y1 - y0,), and how far from one to the other, float32.
    """
    centre = (torch.arange(y0, y1, dtype=torch.float32) + 0.5) * (rows / size) - 0.5
    centre.clamp_(min=0)
    above = centre.long().clamp_(max=rows - 1)
    return above, (above + 1).clamp_(max=rows - 1), centre - above
