"""The reference formulation: figures from the published code, and grid_sample level by level in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from semask_cli.ops import ms_deform_attn
from tests.support.figures import figure, figures

TOLERANCES = [(torch.float64, 1e-6), (torch.float32, 1e-5), (torch.bfloat16, 1e-2)]


MSDA = figures("ops/msda__*.npz")


EXAMPLES = settings(max_examples=40)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("path", MSDA, ids=str)
def test_ms_deform_attn_agrees_with_the_published_code(path: str, dtype: torch.dtype, tolerance: float) -> None:
    expected = figure(path)
    meta, draw = expected.meta, np.random.RandomState(expected.meta["seed"])
    batch, queries, heads, points, shapes = (meta[k] for k in ("batch", "queries", "heads", "points", "shapes"))
    # The published code takes normalised locations and weights, float32.
    value = draw.standard_normal((batch, sum(h * w for h, w in shapes), heads, meta["channels"])).astype(np.float32)
    locations = draw.uniform(-0.3, 1.3, (batch, queries, heads, len(shapes), points, 2)).astype(np.float32)
    logits = draw.standard_normal((batch, queries, heads, len(shapes) * points))
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    pixels = locations.astype(np.float64) * np.array([(w, h) for h, w in shapes])[:, None]

    locating = torch.float32 if dtype is torch.bfloat16 else dtype
    attended = ms_deform_attn(
        torch.from_numpy(value).to(dtype),
        [extent for shape in shapes for extent in shape],
        torch.zeros(queries, 2),
        torch.from_numpy(pixels).to(locating),
        torch.from_numpy(np.log(weights.astype(np.float32).astype(np.float64))).to(dtype),
    )
    assert attended.dtype == dtype
    assert expected.relative_error("out64", attended.double().numpy()) < tolerance


def attention_inputs(
    sizes: list[tuple[int, int]], *, batch: int, queries: int, heads: int, channels: int, points: int, seed: int
) -> tuple[Tensor, list[int], Tensor, Tensor, Tensor]:
    """float64 arguments of ms_deform_attn; offsets reach past every border."""
    g = torch.Generator().manual_seed(seed)
    value = torch.randn(batch, sum(h * w for h, w in sizes), heads, channels, generator=g, dtype=torch.float64)
    reference = torch.rand(queries, 2, generator=g)
    offsets = 5 * torch.randn(batch, queries, heads, len(sizes), points, 2, generator=g, dtype=torch.float64)
    logits = torch.randn(batch, queries, heads, len(sizes) * points, generator=g, dtype=torch.float64)
    return value, [extent for size in sizes for extent in size], reference, offsets, logits


def by_grid_sample(value: Tensor, level_sizes: list[int], reference: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
    """ms_deform_attn as it is usually written in plain torch: one grid_sample for each level."""
    batch, _, heads, channels = value.shape
    queries, points = offsets.shape[1], offsets.shape[4]
    sizes = list(zip(level_sizes[::2], level_sizes[1::2], strict=True))
    samples = []
    for level, ((h, w), part) in enumerate(zip(sizes, value.split([h * w for h, w in sizes], dim=1), strict=True)):
        location = reference[:, None, None] + offsets[:, :, :, level] / torch.tensor([w, h])
        grid = (2 * location - 1).transpose(1, 2).flatten(0, 1)
        maps = part.permute(0, 2, 3, 1).reshape(batch * heads, channels, h, w)
        samples.append(F.grid_sample(maps, grid.to(maps.dtype), padding_mode="zeros", align_corners=False))
    weights = logits.softmax(-1).transpose(1, 2).reshape(batch * heads, 1, queries, len(sizes) * points)
    attended = (torch.cat(samples, dim=-1) * weights).sum(-1)  # (batch * heads, channels, queries)
    return attended.view(batch, heads * channels, queries).transpose(1, 2)


@EXAMPLES
@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4),
    batch=st.integers(1, 3),
    queries=st.integers(1, 7),
    heads=st.integers(1, 3),
    channels=st.integers(1, 5),
    points=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_ms_deform_attn_is_grid_sample_level_by_level(sizes: list[tuple[int, int]], **shape: int) -> None:
    inputs = attention_inputs(sizes, **shape)
    torch.testing.assert_close(ms_deform_attn(*inputs), by_grid_sample(*inputs), atol=1e-9, rtol=1e-9)


def test_half_values_are_sampled_and_summed_in_float32() -> None:
    inputs = attention_inputs([(64, 128), (32, 64)], batch=1, queries=50, heads=4, channels=16, points=4, seed=0)
    value, sizes, reference, offsets, logits = inputs
    halves = (t.bfloat16() for t in (value, offsets, logits))
    value, offsets, logits = halves
    exact = ms_deform_attn(value.double(), sizes, reference, offsets.double(), logits.double())
    torch.testing.assert_close(
        ms_deform_attn(value, sizes, reference, offsets, logits), exact.bfloat16(), atol=1e-4, rtol=2**-7
    )


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_point_nowhere_counts_zero(lost: float) -> None:
    value, sizes, reference, offsets, logits = attention_inputs(
        [(4, 5), (2, 3)], batch=1, queries=3, heads=2, channels=4, points=2, seed=0
    )
    far = offsets.clone()
    far[0, 1, :, 0, 1] = 1000.0
    offsets[0, 1, :, 0, 1] = lost
    expected = ms_deform_attn(value, sizes, reference, far, logits)
    torch.testing.assert_close(ms_deform_attn(value, sizes, reference, offsets, logits), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_operator_is_well_formed(dtype: torch.dtype) -> None:
    """Schema, fakes and tracing with static and dynamic shapes, by torch's own checks."""
    value, sizes, reference, offsets, logits = attention_inputs(
        [(4, 5), (2, 3)], batch=2, queries=7, heads=2, channels=4, points=3, seed=0
    )
    inputs = (value.to(dtype), sizes, reference, offsets.to(dtype), logits.to(dtype))
    torch.library.opcheck(torch.ops.semask.ms_deform_attn, inputs)
