"""Random inputs of the operators, small, and reaching over all borders."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LEVELS = ((5, 7), (3, 4), (9, 2))


class AttentionInputs(NamedTuple):
    value: Tensor
    level_sizes: list[int]
    reference: Tensor
    offsets: Tensor
    logits: Tensor


def attention_inputs(
    levels: tuple[tuple[int, int], ...] = LEVELS,
    *,
    batch: int = 2,
    queries: int | None = None,
    heads: int = 8,
    channels: int = 32,
    points: int = 4,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> AttentionInputs:
    """Without `queries`, one for each pixel of the levels."""
    generator = torch.Generator().manual_seed(seed)
    tokens = sum(h * w for h, w in levels)
    queries = tokens if queries is None else queries
    return AttentionInputs(
        torch.randn(batch, tokens, heads, channels, generator=generator).to(dtype),
        [extent for level in levels for extent in level],
        torch.rand(queries, 2, generator=generator) * 1.2 - 0.1,
        (torch.randn(batch, queries, heads, len(levels), points, 2, generator=generator) * 4).to(dtype),
        (torch.randn(batch, queries, heads, len(levels) * points, generator=generator) * 2).to(dtype),
    )


class ConvolutionInputs(NamedTuple):
    x: Tensor
    offset_mask: Tensor
    weight: Tensor
    bias: Tensor | None
    groups: int


def convolution_inputs(
    height: int = 5,
    width: int = 7,
    *,
    batch: int = 2,
    channels: int = 64,
    groups: int = 2,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> ConvolutionInputs:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    return ConvolutionInputs(
        random(batch, channels, height, width).contiguous(memory_format=torch.channels_last),
        random(batch, 27 * groups, height, width).mul_(2).contiguous(memory_format=torch.channels_last),
        random(11, channels, 3, 3),
        random(11),
        groups,
    )
