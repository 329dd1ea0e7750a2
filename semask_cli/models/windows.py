"""Cutting a map of tokens into windows, and putting it back together.

The windows of «Swin Transformer» (Liu et al., arXiv 2103.14030; published code MIT): the map is padded to whole windows
and shifted cyclically. Here a table says which token stands in each slot of each window, and one gather does it all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

PLAIN, RIGHT, BOTTOM, CORNER = range(4)


@dataclass(frozen=True, slots=True)
class Windows:
    """Some windows of a map, whose slots are counted window by window.

    `border` is PLAIN, or says at which borders of the map these windows hold tokens from the opposite one.
    `padding` are the slots beyond the map, `filled` the others, `tokens` the tokens there; int64, one dimension.
    `read` is the token of every slot, and any where there is none.
    """

    border: int
    read: Tensor
    padding: Tensor
    filled: Tensor
    tokens: Tensor

    def cut(self, tokens: Tensor, *, padding: Tensor) -> Tensor:
        """(B, H * W, C) -> (B, slots, C), with `padding` (C,) in the slots beyond the map.

        Published code pads with zeros before a linear layer, and a zero comes out of that as the layer's bias. To cut
        after the layer, with its bias as padding, gives the same windows and spares the products of the padding.
        """
        rows = tokens.index_select(1, self.read)
        if len(self.padding):
            rows[:, self.padding] = padding.to(rows.dtype)
        return rows

    def put(self, rows: Tensor, out: Tensor) -> None:
        """Write `rows` (B, slots, C) where `cut` would read them in `out` (B, H * W, C)."""
        out.index_copy_(1, self.tokens, rows.index_select(1, self.filled) if len(self.padding) else rows)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # whoever asks first, training may ask next
def cut_map(
    height: int, width: int, *, window: int, shift: int = 0, at_once: int, device: torch.device
) -> tuple[Windows, ...]:
    """All windows of a (height, width) map, up to `at_once` together, all of one border.

    `shift` moves the map up and left cyclically before it is cut.
    """
    rows, columns = (math.ceil(n / window) for n in (height, width))
    y = (torch.arange(rows * window, device="cpu") + shift) % (rows * window)
    x = (torch.arange(columns * window, device="cpu") + shift) % (columns * window)
    token = y[:, None] * width + x
    token[y >= height] = -1
    token[:, x >= width] = -1
    # (rows * window, columns * window) -> (rows, columns, window ** 2)
    token = token.view(rows, window, columns, window).transpose(1, 2).flatten(2)
    borders = {PLAIN: token}
    if shift:
        inner, last = slice(-1), slice(-1, None)
        borders = {
            PLAIN: token[inner, inner],
            RIGHT: token[inner, last],
            BOTTOM: token[last, inner],
            CORNER: token[last, last],
        }
    return tuple(
        _windows(border, part.flatten(), device)
        for border, group in borders.items()
        if group.numel()
        for part in group.flatten(0, 1).split(at_once)
    )


def _windows(border: int, token: Tensor, device: torch.device) -> Windows:
    padding, filled = (token < 0).nonzero()[:, 0], (token >= 0).nonzero()[:, 0]
    parts = (token.clamp(min=0), padding, filled, token[filled])
    return Windows(border, *(part.to(device) for part in parts))
