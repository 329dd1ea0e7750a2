"""Attention in windows, and the semantic attention that gives SeMask its name.

Follows «SeMask» (Jain et al., arXiv 2112.12782; published code Apache-2.0) and «Swin Transformer» (Liu et al.,
arXiv 2103.14030; published code MIT).

Tokens are (B, H, W, C) throughout. Windows are cut by one gather and put back by another: `window_slots` says where
each token stands once the map is padded to whole windows, shifted and read window by window.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHIFT_MASK = -100.0  # added to the score of a pair from different regions; finite, as published
GLOBAL_QUERIES = 1024  # queries of a global semantic attention that are looked at together


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # whoever asks first, training may ask next
def window_slots(height: int, width: int, window: int, shift: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the tokens of a (height, width) map stand when it is read window by window.

    Returns the slot of each token, int64 (height * width,), and the slots of the padding. `shift` moves the map up and
    left cyclically before it is cut.
    """
    rows, columns = (math.ceil(n / window) * window for n in (height, width))
    y = (torch.arange(height, device="cpu") - shift) % rows
    x = (torch.arange(width, device="cpu") - shift) % columns
    per_row = columns // window
    slots = (y // window * per_row)[:, None] + x // window
    slots = slots * window**2 + (y % window * window)[:, None] + x % window
    slots = slots.flatten()
    empty = torch.ones(rows * columns, dtype=torch.bool, device="cpu")
    empty[slots] = False
    return slots.to(device), empty.nonzero()[:, 0].to(device)


def cut_windows(tokens: Tensor, window: int, shift: int = 0, *, padding: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, slots, C), with `padding` (C,) in the slots beyond the map.

    Published code pads with zeros before a linear layer, and a zero comes out of that as the layer's bias. To cut after
    the layer, with its bias as padding, gives the same windows and spares the products of the padding.
    """
    b, h, w, c = tokens.shape
    slots, empty = window_slots(h, w, window, shift, tokens.device)
    windows = tokens.new_empty(b, len(slots) + len(empty), c)
    windows[:, empty] = padding.to(tokens.dtype)
    return windows.index_copy_(1, slots, tokens.reshape(b, h * w, c))


def join_windows(windows: Tensor, height: int, width: int, window: int, shift: int = 0) -> Tensor:
    """(B, slots, C) -> (B, height, width, C), the inverse of `cut_windows`."""
    slots, _ = window_slots(height, width, window, shift, windows.device)
    return windows.index_select(1, slots).unflatten(1, (height, width))


def relative_position_index(window: int) -> Tensor:
    """The row of the bias table for each pair of tokens of a window: int64 (window ** 2, window ** 2)."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (y[:, None] - y + window - 1) * (2 * window - 1) + (x[:, None] - x + window - 1)


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a learned bias for each relative position.

    With `shift`, the windows of the last row and column hold tokens from opposite borders of the map; those do not see
    each other. Only these windows pay for a mask.
    """

    relative_position_bias_table: nn.Parameter
    relative_position_index: Tensor

    def __init__(self, dim: int, *, window: int, shift: int, heads: int) -> None:
        super().__init__()
        self.window, self.shift, self.heads = window, shift, heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_position_index(window))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self._biases: tuple[tuple[int, torch.dtype, torch.device], tuple[Tensor, ...]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        b, h, w, c = x.shape
        rows, columns = math.ceil(h / self.window), math.ceil(w / self.window)
        qkv = cut_windows(self.qkv(x), self.window, self.shift, padding=self.qkv.bias)
        # (B, slots, 3 * C) -> (B, rows, columns, window ** 2, 3, heads, C / heads)
        qkv = qkv.view(b, rows, columns, self.window**2, 3, self.heads, c // self.heads)
        plain, right, bottom, corner = self.biases(x.dtype)
        out = torch.empty_like(qkv[..., 0, :, :])
        # (rows, columns, bias): all windows at once, or apart those that straddle a border of the map
        groups = [(slice(rows), slice(columns), plain)]
        if self.shift:
            inner_rows, last_row = slice(rows - 1), slice(rows - 1, rows)
            inner_columns, last_column = slice(columns - 1), slice(columns - 1, columns)
            groups = [
                (inner_rows, inner_columns, plain),
                (inner_rows, last_column, right),
                (last_row, inner_columns, bottom),
                (last_row, last_column, corner),
            ]
        for ys, xs, bias in groups:
            if (part := qkv[:, ys, xs]).numel():
                out[:, ys, xs] = self._attend(part, bias)
        return self.proj(join_windows(out.view(b, -1, c), h, w, self.window, self.shift))

    def _attend(self, qkv: Tensor, bias: Tensor) -> Tensor:
        """Attention of (B, rows, columns, N, 3, heads, d), every window under the same `bias` (heads, N, N)."""
        # -> 3 x (B * rows * columns, heads, N, d)
        q, k, v = qkv.flatten(0, 2).permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        return attended.transpose(1, 2).reshape(qkv[..., 0, :, :].shape)

    def biases(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Position biases (heads, N, N) of a plain window, and of those at the right, the bottom and the corner."""
        table = self.relative_position_bias_table
        if torch.is_grad_enabled() and table.requires_grad:  # in training they are part of the graph
            return self._fold(dtype)
        key = (0 if table.is_inference() else table._version, dtype, table.device)
        if self._biases is None or self._biases[0] != key:
            self._biases = (key, self._fold(dtype))
        return self._biases[1]

    def _fold(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        table = self.relative_position_bias_table
        bias = table[self.relative_position_index.flatten()]  # (N * N, heads)
        bias = bias.view(*self.relative_position_index.shape, -1).permute(2, 0, 1).contiguous()
        far = torch.arange(self.window, device=table.device) >= self.window - self.shift
        y, x = far.repeat_interleave(self.window), far.repeat(self.window)
        across = [a[:, None] != a for a in (x, y)]
        masks = (across[0], across[1], across[0] | across[1])
        return tuple(b.to(dtype) for b in (bias, *(bias + SHIFT_MASK * mask for mask in masks)))


class SemanticAttention(nn.Module):
    """Attention whose queries and keys are semantic maps: out = gamma * R(softmax(Q y . K y) V y) + y (SeMask, fig. 3).

    Scores are not scaled. `global_` looks at all tokens at once, else at windows of `window` tokens, whose zero padding
    takes part through the biases.
    """

    def __init__(self, dim: int, *, classes: int, window: int, global_: bool) -> None:
        super().__init__()
        self.window, self.global_ = window, global_
        self.gamma = nn.Parameter(torch.zeros(1))
        self.mlp_cls_q = nn.Linear(dim, classes)
        self.mlp_cls_k = nn.Linear(dim, classes)
        self.mlp_v = nn.Linear(dim, dim)
        self.mlp_res = nn.Linear(dim, dim)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) -> the same shape, and the semantic map (B, H, W, classes) before any softmax."""
        b, h, w, c = y.shape
        layers = (self.mlp_cls_q, self.mlp_cls_k, self.mlp_v)
        semantic_map, key, value = (layer(y) for layer in layers)
        if self.global_:
            q, k, v = (t.flatten(1, 2) for t in (semantic_map, key, value))
            attended = torch.cat([_attend_classes(part, k, v) for part in q.split(GLOBAL_QUERIES, dim=1)], dim=1)
            attended = attended.view(b, h, w, c)
        else:
            # (B, H, W, C) -> (B, slots, C) -> (B * windows, N, C)
            q, k, v = (
                cut_windows(t, self.window, padding=layer.bias).view(-1, self.window**2, t.shape[-1])
                for t, layer in zip((semantic_map, key, value), layers, strict=True)
            )
            attended = join_windows(_attend_classes(q, k, v).view(b, -1, c), h, w, self.window)
        return torch.addcmul(y, self.gamma.to(y.dtype), self.mlp_res(attended)), semantic_map


def _attend_classes(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q . k) v for q, k (B, N, classes) and v (B, N, C)."""
    return torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(-1), v)
