"""Window partition of maps of tokens, and its reverse.

Follows «Swin Transformer» (Liu et al., arXiv 2103.14030; published code MIT): a map is padded to whole windows, shifted
cyclically, and cut. `window_batches` has the index of the token in each slot of each window, so that padding, shift and
cut are one gather, and their reverse one scatter. `cut_windows` does the published steps one by one, with static shapes
only, as compilers need.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from semask_cli.models.padding import zero_pad

PLAIN, RIGHT, BOTTOM, CORNER = range(4)
"""The place of a window in a shifted map; all but PLAIN hold tokens from opposite borders, across, down or both."""

SCORES_PER_BATCH = 1 << 20
"""Attention scores of the windows of a batch on a CPU: 4 MiB in float32, which its cache holds."""


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Some windows of a batch of maps, grouped by border.

    `borders` are pairs of a border and its number of windows. `source` is the token of each slot, window by window (any
    token for padding), `target` the row to write it back to: for padding, the extra row after the tokens. The slots of
    padding are `padding_slots`. All are int64, one-dimensional; tokens are numbered through all maps.
    """

    borders: tuple[tuple[int, int], ...]
    source: Tensor
    target: Tensor
    padding_slots: Tensor


def window_partition(tokens: Tensor, batch: WindowBatch, *, padding: Tensor) -> Tensor:
    """(tokens, C) -> (slots, C), with `padding` (C,) in the slots beyond the map.

    Published code pads with zeros before a linear layer, which maps them to its bias. Partitioning after the layer,
    with its bias as padding, gives the same windows and saves the products of the padding.
    """
    slots = tokens.index_select(0, batch.source)
    rows = len(batch.padding_slots)
    return slots.index_copy_(0, batch.padding_slots, padding.to(slots.dtype).expand(rows, -1)) if rows else slots


def window_reverse(slots: Tensor, batch: WindowBatch, *, out: Tensor) -> None:
    """Write slots (slots, C) back to `out` (tokens + 1, C), whose last row receives the padding."""
    out.index_copy_(0, batch.target, slots)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # these tensors are cached: training may use them after inference
def window_batches(
    maps: int, height: int, width: int, *, window: int, shift: int = 0, batch: int, device: torch.device
) -> tuple[WindowBatch, ...]:
    """All windows of `maps` maps of (height, width), up to `batch` at a time.

    `shift` moves the maps up and left cyclically before they are cut.
    """
    rows, columns = (math.ceil(n / window) for n in (height, width))
    y = (torch.arange(rows * window, device="cpu") + shift) % (rows * window)
    x = (torch.arange(columns * window, device="cpu") + shift) % (columns * window)
    token = y[:, None] * width + x + height * width * torch.arange(maps, device="cpu")[:, None, None]
    token[:, y >= height] = -1
    token[:, :, x >= width] = -1
    # (maps, rows * window, columns * window) -> (maps, rows, columns, window ** 2)
    token = token.view(maps, rows, window, columns, window).transpose(2, 3).flatten(3)
    border = torch.zeros(maps, rows, columns, dtype=torch.int64, device="cpu")
    if shift:
        border[:, -1] += BOTTOM
        border[:, :, -1] += RIGHT
    border, order = border.flatten().sort(stable=True)
    parts = zip(border.split(batch), token.flatten(0, 2)[order].split(batch), strict=True)
    return tuple(_window_batch(*part, height * width * maps, device) for part in parts)


def windows_per_batch(scores: int, device: torch.device) -> int:
    """How many windows attend together, if each has `scores`: on a CPU as many as its cache holds, else all."""
    return max(1, SCORES_PER_BATCH // scores) if device.type == "cpu" else sys.maxsize


def _window_batch(border: Tensor, token: Tensor, tokens: int, device: torch.device) -> WindowBatch:
    """From `border` (windows,) and `token` (windows, window ** 2), -1 for padding."""
    slots = token.flatten()
    target = torch.where(slots < 0, tokens, slots)
    tables = (slots.clamp(min=0), target, (slots < 0).nonzero()[:, 0])
    borders = zip(*(t.tolist() for t in border.unique_consecutive(return_counts=True)), strict=True)
    return WindowBatch(tuple(borders), *(table.to(device) for table in tables))


def cut_windows(x: Tensor, *, window: int, shift: int = 0) -> Tensor:
    """(B, H, W, C) -> (B, rows, columns, window ** 2, C), zero-padded right and bottom to whole windows."""
    _, h, w, _ = x.shape
    x = zero_pad(x, (0, 0, 0, -w % window, 0, -h % window))
    x = x.roll((-shift, -shift), (1, 2)) if shift else x
    return x.unflatten(2, (-1, window)).unflatten(1, (-1, window)).transpose(2, 3).flatten(3, 4)


def join_windows(windows: Tensor, height: int, width: int, *, shift: int = 0) -> Tensor:
    """The reverse of `cut_windows`: (B, rows, columns, window ** 2, C) -> (B, height, width, C)."""
    window = math.isqrt(windows.shape[3])
    x = windows.unflatten(3, (window, window)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    x = x.roll((shift, shift), (1, 2)) if shift else x
    return x[:, :height, :width]
