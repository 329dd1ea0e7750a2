"""Window partition of a map of tokens, and its reverse.

The windows of «Swin Transformer» (Liu et al., arXiv 2103.14030; published code MIT): the map is padded to whole windows
and shifted cyclically, then cut. Here a table says which token stands in each slot of each window, so that padding,
shift and cut are one gather.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

PLAIN, RIGHT, BOTTOM, CORNER = range(4)


@dataclass(frozen=True, slots=True)
class WindowGroup:
    """Some windows of a map, whose slots are counted window by window.

    `border` is PLAIN, or says at which borders of the map these windows hold tokens from the opposite one. `source` is
    the token of every slot (any token for a slot in the padding). `padding_slots` are the slots beyond the map,
    `token_slots` the others, and `tokens` the tokens in these. All int64, one dimension.
    """

    border: int
    source: Tensor
    padding_slots: Tensor
    token_slots: Tensor
    tokens: Tensor


def window_partition(tokens: Tensor, group: WindowGroup, *, padding: Tensor) -> Tensor:
    """(B, H * W, C) -> (B, slots, C), with `padding` (C,) in the slots beyond the map.

    Published code pads with zeros before a linear layer, and a zero comes out of that as the layer's bias. To partition
    after the layer, with its bias as padding, gives the same windows and spares the products of the padding.
    """
    slots = tokens.index_select(1, group.source)
    if len(group.padding_slots):
        slots[:, group.padding_slots] = padding.to(slots.dtype)
    return slots


def window_reverse(slots: Tensor, group: WindowGroup, *, out: Tensor) -> None:
    """(B, slots, C) -> their places in `out` (B, H * W, C); what stands in the padding is dropped."""
    slots = slots.index_select(1, group.token_slots) if len(group.padding_slots) else slots
    out.index_copy_(1, group.tokens, slots)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # these tensors are cached: training may use them after inference
def window_groups(
    height: int, width: int, *, window: int, shift: int = 0, batch: int, device: torch.device
) -> tuple[WindowGroup, ...]:
    """All windows of a (height, width) map, up to `batch` in a group, and all of a group at the same border.

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
    by_border = {PLAIN: token}
    if shift:
        inner, last = slice(-1), slice(-1, None)
        by_border = {
            PLAIN: token[inner, inner],
            RIGHT: token[inner, last],
            BOTTOM: token[last, inner],
            CORNER: token[last, last],
        }
    return tuple(
        _window_group(border, part.flatten(), device)
        for border, windows in by_border.items()
        if windows.numel()
        for part in windows.flatten(0, 1).split(batch)
    )


def _window_group(border: int, token: Tensor, device: torch.device) -> WindowGroup:
    padding_slots, token_slots = (token < 0).nonzero()[:, 0], (token >= 0).nonzero()[:, 0]
    tables = (token.clamp(min=0), padding_slots, token_slots, token[token_slots])
    return WindowGroup(border, *(table.to(device) for table in tables))
