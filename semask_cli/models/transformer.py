"""Common parts of the decoders of MaskFormer and Mask2Former: attention, MLPs, and mask logits.

Follows «Attention Is All You Need» (Vaswani et al., arXiv 1706.03762), with the parameter names of
torch.nn.MultiheadAttention (BSD-3-Clause).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.ops.linear import Linear, linear


class Attention(nn.Module):
    """Multi-head attention. Tokens are (B, N, C)."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """(B, N, C) each -> (B, N, C); bool `attention_mask` broadcasts to (B, heads, queries, keys): True attends."""
        projections = zip(self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        # 3 x (B, N, C) -> 3 x (B, heads, N, C / heads)
        q, k, v = (
            linear(tokens, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for tokens, (weight, bias) in zip((query, key, value), projections, strict=True)
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Three linear layers of one width with ReLU between them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = (Linear(dim, dim, activation="relu") for _ in range(2))
        self.layers = nn.ModuleList([*inner, Linear(dim, dim)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def mask_logits(mask_embeddings: Tensor, mask_features: Tensor) -> Tensor:
    """(B, Q, C) and (B, C, h, w) -> (B, Q, h, w): the dot products of mask embeddings and the features of each pixel.

    Not einsum: with a batch of one it gives strides that make oneDNN copy, and a transposed copy of bfloat16 takes ten
    times as long as the product.
    """
    pixels = mask_features.permute(0, 2, 3, 1).flatten(1, 2)  # (B, C, h, w) -> (B, h * w, C)
    return torch.bmm(mask_embeddings, pixels.mT).unflatten(2, mask_features.shape[2:])
