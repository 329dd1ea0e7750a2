"""The operators in standard form compute what semask's own do."""

from __future__ import annotations

import pytest
import torch

from semask_cli.ops import deform_conv2d, ms_deform_attn, standard_operators


@pytest.mark.parametrize("batch", [1, 2])
def test_deformable_attention(batch: int) -> None:
    torch.manual_seed(batch)
    sizes, heads, points, queries = [(3, 5), (6, 10), (7, 9)], 4, 4, 21
    value = torch.randn(batch, sum(h * w for h, w in sizes), heads, 8)
    offsets = 3 * torch.randn(batch, queries, heads, len(sizes), points, 2)  # some point outside
    logits = torch.randn(batch, queries, heads, len(sizes) * points)
    flat = [side for size in sizes for side in size]
    arguments = (value, flat, torch.rand(queries, 2), offsets, logits)
    torch.testing.assert_close(standard_operators.ms_deform_attn(*arguments), ms_deform_attn(*arguments))


@pytest.mark.parametrize("bias", [True, False])
def test_deformable_convolution(bias: bool) -> None:
    torch.manual_seed(0)
    groups, channels, out = 2, 8, 6
    arguments = (
        torch.randn(2, channels, 7, 9),
        2 * torch.randn(2, 27 * groups, 7, 9),
        torch.randn(out, channels, 3, 3),
        torch.randn(out) if bias else None,
        groups,
    )
    torch.testing.assert_close(
        standard_operators.deform_conv2d(*arguments), deform_conv2d(*arguments), rtol=1e-4, atol=1e-4
    )
