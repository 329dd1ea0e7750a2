"""Attention in windows, and the semantic attention that gives SeMask its name.

Follows «SeMask» (Jain et al., arXiv 2112.12782; published code Apache-2.0) and «Swin Transformer» (Liu et al.,
arXiv 2103.14030; published code MIT).

Tokens are (B, H, W, C) throughout.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.models.windows import PLAIN, window_groups, window_partition, window_reverse
from semask_cli.ops.cpu import small_products_are_slow
from semask_cli.ops.linear import Linear

SHIFT_MASK = -100.0  # added to the score of a pair from different regions; finite, as published
SCORES_PER_BATCH = 1 << 20  # of windows that attend together on a CPU: 4 MiB in float32, which a cache holds
QUERIES_PER_BATCH = 1024  # of a global semantic attention


def relative_position_index(window: int) -> Tensor:
    """The row of the bias table for each pair of tokens of a window: int64 (window ** 2, window ** 2)."""
    # On the CPU even where a network is built without memory: arithmetic on the meta device imports torch's compiler.
    steps = torch.arange(window, device="cpu")
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (y[:, None] - y + window - 1) * (2 * window - 1) + (x[:, None] - x + window - 1)


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a learned bias for each relative position.

    With `shift`, the windows of the last row and column hold tokens from opposite borders of the map, which must not
    attend to each other. Only these windows pay for a mask.
    """

    relative_position_bias_table: nn.Parameter
    relative_position_index: Tensor

    def __init__(self, dim: int, *, window: int, shift: int, heads: int) -> None:
        super().__init__()
        self.window, self.shift, self.heads = window, shift, heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_position_index(window))
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)
        self._biases: tuple[tuple[int, torch.dtype, torch.device], tuple[Tensor, ...]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        b, h, w, c = x.shape
        qkv = self.qkv(x).flatten(1, 2)
        biases = self.biases(x.dtype)
        out = qkv.new_empty(b, h * w, c)
        batch = windows_per_batch(b * biases[PLAIN].numel(), x.device)
        for group in window_groups(h, w, window=self.window, shift=self.shift, batch=batch, device=x.device):
            windows = window_partition(qkv, group, padding=self.qkv.bias)
            # (B, slots, 3 * C) -> (B * windows, N, 3, heads, d) -> 3 x (B * windows, heads, N, d)
            windows = windows.view(-1, self.window**2, 3, self.heads, c // self.heads)
            q, k, v = windows.permute(2, 0, 3, 1, 4).unbind(0)
            attended = biased_attention(q, k, v, biases[group.border])
            # (B * windows, heads, N, d) -> (B, slots, C)
            window_reverse(attended.transpose(1, 2).reshape(b, -1, c), group, out=out)
        return self.proj(out.view(b, h, w, c))

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

    Scores are not scaled. With `global_` all tokens attend to all, else to those of their window, whose zero padding
    takes part through the biases.
    """

    def __init__(self, dim: int, *, classes: int, window: int, global_: bool) -> None:
        super().__init__()
        self.window, self.global_ = window, global_
        self.gamma = nn.Parameter(torch.zeros(1))
        self.mlp_cls_q = Linear(dim, classes)
        self.mlp_cls_k = Linear(dim, classes)
        self.mlp_v = Linear(dim, dim)
        self.mlp_res = Linear(dim, dim)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) -> the same shape, and the semantic map (B, H, W, classes) before any softmax."""
        b, h, w, c = y.shape
        layers = (self.mlp_cls_q, self.mlp_cls_k, self.mlp_v)
        semantic_map, key, value = (layer(y) for layer in layers)
        if self.global_:
            q, k, v = (t.flatten(1, 2) for t in (semantic_map, key, value))
            parts = [semantic_attention(queries, k, v) for queries in q.split(QUERIES_PER_BATCH, dim=1)]
            attended = torch.cat(parts, dim=1)
        else:
            attended = value.new_empty(b, h * w, c)
            batch = windows_per_batch(b * self.window**4, y.device)
            for group in window_groups(h, w, window=self.window, batch=batch, device=y.device):
                # (B, H, W, C) -> (B, slots, C) -> (B * windows, N, C)
                q, k, v = (
                    window_partition(t.flatten(1, 2), group, padding=layer.bias).view(-1, self.window**2, t.shape[-1])
                    for t, layer in zip((semantic_map, key, value), layers, strict=True)
                )
                window_reverse(semantic_attention(q, k, v).view(b, -1, c), group, out=attended)
        attended = attended.view(b, h, w, c)
        return torch.addcmul(y, self.gamma.to(y.dtype), self.mlp_res(attended)), semantic_map


def windows_per_batch(scores: int, device: torch.device) -> int:
    """How many windows attend together, if each has `scores`: on a CPU as many as its cache holds, else all."""
    return max(1, SCORES_PER_BATCH // scores) if device.type == "cpu" else sys.maxsize


def biased_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """softmax(q . k / sqrt(d) + bias) v for q, k, v (windows, heads, N, d) and one bias (heads, N, N) for all."""
    if q.device.type != "cpu" or not small_products_are_slow():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
    scores = torch.matmul(q, k.transpose(2, 3))
    scores = torch.add(bias.float(), scores, alpha=q.shape[-1] ** -0.5).softmax(-1)
    return torch.matmul(scores.to(v.dtype), v)


def semantic_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q . k) v for q, k (B, N, classes) and v (B, N, C)."""
    return torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(-1), v)
