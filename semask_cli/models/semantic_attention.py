"""Semantic attention, whose queries and keys are semantic maps.

Follows «SeMask» (Jain et al., arXiv 2112.12782; published code Apache-2.0). Tokens are (B, H, W, C).
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.models.padding import zero_pad
from semask_cli.models.windows import (
    cut_windows,
    join_windows,
    window_batches,
    window_partition,
    window_reverse,
    windows_per_batch,
)
from semask_cli.ops.cpu import small_products_are_slow
from semask_cli.ops.linear import Linear

QUERIES_PER_BATCH = 1024
"""Queries of a global semantic attention that are computed together."""

MAX_CHANNELS_PER_CLASS = 5
"""Up to this ratio of channels to classes, torch's fused kernel is faster."""


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
        if torch.compiler.is_compiling() and not self.global_:
            return self._attend_by_shapes(y)
        b, h, w, c = y.shape
        layers = (self.mlp_cls_q, self.mlp_cls_k, self.mlp_v)
        semantic_map, key, value = (layer(y) for layer in layers)
        if self.global_:
            attended = semantic_attention(*(t.flatten(1, 2) for t in (semantic_map, key, value)))
        else:
            attended = value.new_empty(b * h * w + 1, c)
            batch = windows_per_batch(self.window**4, y.device)
            for part in window_batches(b, h, w, window=self.window, batch=batch, device=y.device):
                # (B, H, W, C) -> (tokens, C) -> (slots, C) -> (windows, N, C)
                q, k, v = (
                    window_partition(t.flatten(0, 2), part, padding=layer.bias).unflatten(0, (-1, self.window**2))
                    for t, layer in zip((semantic_map, key, value), layers, strict=True)
                )
                window_reverse(semantic_attention(q, k, v).flatten(0, 1), part, out=attended)
            attended = attended[:-1]
        return self._residual(y, attended.view(b, h, w, c)), semantic_map

    def _attend_by_shapes(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` does within windows, in the published steps."""
        _, h, w, _ = y.shape
        windows = cut_windows(y, window=self.window)  # (B, rows, columns, N, C)
        q, k, v = (layer(windows) for layer in (self.mlp_cls_q, self.mlp_cls_k, self.mlp_v))
        attended = semantic_attention(*(t.flatten(0, 2) for t in (q, k, v))).view_as(v)
        return self._residual(y, join_windows(attended, h, w)), join_windows(q, h, w)

    def _residual(self, y: Tensor, attended: Tensor) -> Tensor:
        return torch.addcmul(y, self.gamma.to(y.dtype), self.mlp_res(attended))


def semantic_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q . k) v for q (B, queries, classes), k (B, N, classes) and v (B, N, C).

    Scores are float32 whatever the dtype: they are not scaled, and the steps of a half type between numbers of a few
    hundred are as large as the differences that a softmax decides by.
    """
    half = q.dtype != torch.float32  # as autocast makes it, which would make the scores so too
    if half and _fused_is_faster(classes=q.shape[-1], channels=v.shape[-1], device=q.device):
        return _fused_semantic_attention(q, k, v)
    with torch.autocast(q.device.type, enabled=False) if half else nullcontext():
        k = k.float().transpose(1, 2)
        parts = [
            torch.bmm(torch.bmm(queries.float(), k).softmax(-1).to(v.dtype), v)
            for queries in q.split(QUERIES_PER_BATCH, dim=1)
        ]
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _fused_is_faster(*, classes: int, channels: int, device: torch.device) -> bool:
    """Whether torch's kernel for scaled products pays, which wants queries, keys and values of one width."""
    if device.type != "cpu" or torch.compiler.is_compiling() or small_products_are_slow():
        return False
    return channels <= MAX_CHANNELS_PER_CLASS * classes


def _fused_semantic_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`semantic_attention` whose scores, in float32, are never in memory."""
    classes, channels = q.shape[-1], v.shape[-1]
    width = max(classes, channels)
    # (B, N, classes or C) -> (B, 1, N, the larger of the two)
    q, k, v = (zero_pad(t, (0, width - t.shape[-1]))[:, None] for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)[:, 0, :, :channels]
