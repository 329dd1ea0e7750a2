"""The reference formulation: figures from the published code, and torchvision's operator in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from semask_cli.ops import deform_conv2d
from tests.support.figures import figure, figures

TOLERANCES = [(torch.float64, 1e-6), (torch.float32, 1e-5), (torch.bfloat16, 1e-2)]


DCN = figures("ops/dcn__*.npz")


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("path", DCN, ids=str)
def test_deform_conv2d_agrees_with_the_published_code(path: str, dtype: torch.dtype, tolerance: float) -> None:
    expected = figure(path)
    meta, draw = expected.meta, np.random.RandomState(expected.meta["seed"])
    batch, h, w, groups = (meta[k] for k in ("batch", "height", "width", "groups"))
    cin, cout = meta["cin"], meta["cout"]

    def normal(*shape: int) -> np.ndarray:
        return draw.standard_normal(shape)

    x = normal(batch, cin, h, w)
    offset = meta["offset_scale"] * normal(batch, 18 * groups, h, w)
    mask = (1 / (1 + np.exp(-normal(batch, 9 * groups, h, w)))).astype(np.float32).astype(np.float64)
    weight, bias = normal(cout, cin, 3, 3) / np.sqrt(9 * cin), 0.1 * normal(cout)
    x, offset, weight, bias = (v.astype(np.float32) for v in (x, offset, weight, bias))
    offset_mask = torch.from_numpy(np.concatenate([offset, np.log(mask / (1 - mask))], axis=1))

    locating = torch.float32 if dtype is torch.bfloat16 else dtype
    convolved = deform_conv2d(
        torch.from_numpy(x).to(dtype),
        offset_mask.to(locating),
        torch.from_numpy(weight).to(dtype),
        torch.from_numpy(bias).to(dtype),
        groups,
    )
    assert convolved.dtype == dtype
    assert expected.relative_error("out64", convolved.double().numpy()) < tolerance


@settings(max_examples=40)
@given(
    batch=st.integers(1, 3),
    groups=st.integers(1, 4),
    channels=st.integers(1, 3),
    out=st.integers(1, 5),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    biased=st.booleans(),
    seed=st.integers(0, 99),
)
def test_deform_conv2d_is_torchvisions(
    batch: int, groups: int, channels: int, out: int, height: int, width: int, biased: bool, seed: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    kwargs = {"generator": g, "dtype": torch.float64}
    x = torch.randn(batch, groups * channels, height, width, **kwargs)
    offset_mask = 3 * torch.randn(batch, 27 * groups, height, width, **kwargs)
    weight = torch.randn(out, groups * channels, 3, 3, **kwargs)
    bias = torch.randn(out, **kwargs) if biased else None
    offset, mask = offset_mask.split([18 * groups, 9 * groups], dim=1)
    expected = torchvision.ops.deform_conv2d(x, offset, weight, bias, padding=1, mask=mask.sigmoid())
    torch.testing.assert_close(deform_conv2d(x, offset_mask, weight, bias, groups), expected)


def test_more_pixels_than_are_sampled_at_a_time() -> None:
    x, offset_mask, weight = torch.randn(2, 8, 40, 50), torch.randn(2, 54, 40, 50), torch.randn(4, 8, 3, 3)
    expected = torchvision.ops.deform_conv2d(
        x, offset_mask[:, :36], weight, padding=1, mask=offset_mask[:, 36:].sigmoid()
    )
    torch.testing.assert_close(deform_conv2d(x, offset_mask, weight, None, 2), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_point_nowhere_counts_zero(lost: float) -> None:
    x, offset_mask, weight = torch.randn(1, 4, 5, 6), torch.randn(1, 54, 5, 6), torch.randn(3, 4, 3, 3)
    far = offset_mask.clone()
    far[:, 7, 2, 3] = 1000.0
    offset_mask[:, 7, 2, 3] = lost
    expected = deform_conv2d(x, far, weight, None, 2)
    torch.testing.assert_close(deform_conv2d(x, offset_mask, weight, None, 2), expected)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_operator_is_well_formed(dtype: torch.dtype, biased: bool) -> None:
    """Schema, fakes and tracing with static and dynamic shapes, by torch's own checks."""
    x, offset_mask = torch.randn(2, 8, 5, 6, dtype=dtype), torch.randn(2, 54, 5, 6, dtype=dtype)
    weight, bias = torch.randn(3, 8, 3, 3, dtype=dtype), torch.randn(3, dtype=dtype) if biased else None
    torch.library.opcheck(torch.ops.semask.deform_conv2d, (x, offset_mask, weight, bias, 2))
