"""kernels/ms_deform_attn.cu and deform_columns.cu, run on the CPU, against the reference formulations in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from semask_cli.ops import cuda_sampling
from semask_cli.ops.deform_conv2d import deform_conv2d
from semask_cli.ops.ms_deform_attn import ms_deform_attn
from tests.support.kernel_inputs import AttentionInputs, ConvolutionInputs, attention_inputs, convolution_inputs

pytestmark = pytest.mark.usefixtures("on_host")

TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 1e-2}
NAN, INF = float("nan"), float("inf")


def assert_attention_agrees(inputs: AttentionInputs) -> None:
    expected = ms_deform_attn(*(x.double() if isinstance(x, Tensor) else x for x in inputs))
    result = cuda_sampling.cuda_ms_deform_attn(*inputs)
    assert result.dtype == inputs.value.dtype
    assert_agree(result, expected)


def assert_convolution_agrees(inputs: ConvolutionInputs) -> None:
    expected = deform_conv2d(*(x.double() if isinstance(x, Tensor) else x for x in inputs))
    result = cuda_sampling.cuda_deform_conv2d(*inputs)
    assert result.dtype == inputs.x.dtype
    assert result.stride() == expected.stride()
    assert_agree(result, expected)


def assert_agree(result: Tensor, expected: Tensor) -> None:
    """The kernel's result is the float64 one up to rounding, NaN for NaN."""
    assert result.shape == expected.shape
    assert torch.equal(result.isnan(), expected.isnan())
    error = (result.double() - expected).nan_to_num().abs().max()
    assert error <= TOLERANCE[result.dtype] * expected.nan_to_num().abs().max()


# -- ms_deform_attn


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_queries_that_are_the_pixels(dtype: torch.dtype) -> None:
    assert_attention_agrees(attention_inputs(dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_queries_of_any_number(dtype: torch.dtype) -> None:
    assert_attention_agrees(attention_inputs(queries=21, dtype=dtype))


def test_half_values_with_float32_offsets() -> None:
    inputs = attention_inputs(dtype=torch.float16)
    assert_attention_agrees(inputs._replace(offsets=inputs.offsets.float()))


@pytest.mark.parametrize(
    ("levels", "shape"),
    [
        pytest.param(((4, 4),), {"heads": 3, "points": 3}, id="one level, three heads and points"),
        pytest.param(((3, 5), (2, 2)), {"heads": 2, "points": 1, "channels": 64}, id="64 channels"),
        pytest.param(((3, 5),), {"heads": 1, "points": 1, "channels": 8, "dtype": torch.float16}, id="one lane"),
    ],
)
def test_other_constants(levels: tuple[tuple[int, int], ...], shape: dict[str, int]) -> None:
    assert_attention_agrees(attention_inputs(levels, **shape))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("levels", [((1, 1), (0, 5), (1, 6)), ((8, 1), (2, 2), (4, 0)), ((0, 0), (0, 3), (1, 2))])
def test_levels_without_pixels_or_one_pixel_wide(levels: tuple[tuple[int, int], ...], dtype: torch.dtype) -> None:
    assert_attention_agrees(attention_inputs(levels, dtype=dtype))
    assert_attention_agrees(attention_inputs(levels, queries=9, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_points_on_and_beyond_the_borders(dtype: torch.dtype) -> None:
    inputs = attention_inputs(dtype=dtype)
    inputs.reference.zero_()
    corners = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 2.5, 4.5, 5.0, 7.5, 8.5, 9.5, -3e4, 6e4, INF, -INF, NAN])
    inputs.offsets.view(-1)[:] = corners.repeat(-(-inputs.offsets.numel() // len(corners)))[: inputs.offsets.numel()]
    assert_attention_agrees(inputs)


def test_logits_of_any_size() -> None:
    inputs = attention_inputs()
    inputs.logits[0, 0] = 3e38
    inputs.logits[0, 1, :, 0] = 1e4
    inputs.logits[0, 2, :, 1:] = -INF
    inputs.logits[0, 3, 2, 5] = NAN
    inputs.logits[0, 4, 1] = -INF
    assert_attention_agrees(inputs)


def test_views_that_are_neither_contiguous_nor_aligned() -> None:
    inputs = attention_inputs(dtype=torch.float16)
    storage = inputs.value.new_zeros(inputs.value.numel() + 1)
    misaligned = storage[1:].view_as(inputs.value).copy_(inputs.value)
    strided = inputs.offsets.transpose(0, 1).contiguous().transpose(0, 1)
    assert_attention_agrees(inputs._replace(value=misaligned, offsets=strided))


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(levels=st.tuples(*[st.tuples(st.integers(0, 9), st.integers(0, 9))] * 3), seed=st.integers(0, 99))
def test_any_levels(levels: tuple[tuple[int, int], ...], seed: int) -> None:
    if any(h * w for h, w in levels):
        assert_attention_agrees(attention_inputs(levels, batch=1, seed=seed))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level_sizes": [5, 7, 3, 4, 9, 3]}, r"hold 74 pixels, value has 65"),
        ({"reference": torch.zeros(65, 3)}, r"reference has the shape \(65, 3\), expected \(65, 2\)"),
        ({"logits": torch.zeros(2, 65, 8, 11)}, r"logits has the shape .* expected \(2, 65, 8, 12\)"),
        ({"logits": torch.zeros(2, 65, 8, 12, dtype=torch.int32)}, r"logits is torch.int32"),
        (
            {"offsets": torch.zeros(2, 65, 8, 3, 4, 2, device="meta")},
            r"offsets is on meta, the other .* on cpu",
        ),
    ],
)
def test_attention_refuses_tensors_that_do_not_fit(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cuda_sampling.cuda_ms_deform_attn(*attention_inputs()._replace(**change))


@pytest.mark.parametrize("shape", [{"channels": 12}, {"dtype": torch.float64}])
def test_attention_that_the_kernel_does_not_cover(shape: dict[str, object]) -> None:
    inputs = attention_inputs(**shape)
    assert torch.equal(cuda_sampling.cuda_ms_deform_attn(*inputs), ms_deform_attn(*inputs))


def test_no_queries() -> None:
    assert cuda_sampling.cuda_ms_deform_attn(*attention_inputs(queries=0)).shape == (2, 0, 256)


# -- deform_conv2d


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_networks_channels(dtype: torch.dtype) -> None:
    assert_convolution_agrees(convolution_inputs(channels=256, groups=8, dtype=dtype))


def test_without_bias() -> None:
    assert_convolution_agrees(convolution_inputs()._replace(bias=None))


@pytest.mark.parametrize("rows", [1, 3])
def test_strips_that_begin_and_end_anywhere(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = convolution_inputs(batch=3)
    monkeypatch.setattr(cuda_sampling, "COLUMN_BYTES", rows * 7 * 9 * 64 * 4)
    assert_convolution_agrees(inputs)


def test_other_memory_layouts() -> None:
    x, offset_mask, *rest = convolution_inputs()
    assert_convolution_agrees(ConvolutionInputs(x.contiguous(), offset_mask.contiguous(), *rest))
    misaligned = torch.zeros(x.numel() + 1)[1:].view(2, 5, 7, 64).permute(0, 3, 1, 2).copy_(x)
    every_other = torch.zeros(2, 54, 10, 14)[:, :, ::2, ::2].copy_(offset_mask)
    assert_convolution_agrees(ConvolutionInputs(misaligned, every_other, *rest))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_any_size(height: int, width: int, seed: int) -> None:
    assert_convolution_agrees(convolution_inputs(height, width, batch=1, seed=seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_offsets_to_and_beyond_the_borders(dtype: torch.dtype) -> None:
    inputs = convolution_inputs(dtype=dtype)
    special = torch.tensor([0.0, 1.0, -1.0, 0.5, -0.25, 3.0, 7.0, -7.0, 1e-7, -1e-7, 6e4, -6e4, INF, -INF, NAN])
    offsets = inputs.offset_mask[:, :36]
    offsets[:] = special.repeat(-(-offsets.numel() // len(special)))[: offsets.numel()].view(offsets.shape)
    assert_convolution_agrees(inputs)


def test_masks_of_any_size() -> None:
    inputs = convolution_inputs()
    inputs.offset_mask[:, 36:, 0] = 200.0
    inputs.offset_mask[:, 36:, 1] = -200.0
    inputs.offset_mask[0, 40, 2, 3] = NAN
    inputs.offset_mask[0, 41, 4] = -INF
    assert_convolution_agrees(inputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"offset_mask": torch.zeros(2, 50, 5, 7)},
            r"offset_mask has the shape .* expected \(2, 54, 5, 7\)",
        ),
        ({"weight": torch.zeros(11, 64, 5, 5)}, r"weight has the shape .* expected \(11, 64, 3, 3\)"),
        ({"weight": torch.zeros(11, 64, 3, 3, device="meta")}, r"weight is on meta, the other tensors are on cpu"),
        ({"offset_mask": torch.zeros(2, 81, 5, 7), "groups": 3}, r"64 channels do not divide into 3 groups"),
    ],
)
def test_convolution_refuses_tensors_that_do_not_fit(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cuda_sampling.cuda_deform_conv2d(*convolution_inputs()._replace(**change))


@pytest.mark.parametrize("shape", [{"channels": 24}, {"dtype": torch.float64}])
def test_convolution_that_the_kernel_does_not_cover(shape: dict[str, object]) -> None:
    inputs = convolution_inputs(**shape)
    assert torch.equal(cuda_sampling.cuda_deform_conv2d(*inputs), deform_conv2d(*inputs))
