"""kernels/deform_columns.cu, run on the CPU, against the plain formulation in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from semask_cli.ops import cuda_sampling
from semask_cli.ops.deform_conv2d import deform_conv2d
from tests.support.kernel_inputs import ConvolutionInputs, convolution_inputs

pytestmark = pytest.mark.usefixtures("on_host")

TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 1e-2}
NAN, INF = float("nan"), float("inf")


def assert_as_plain(inputs: ConvolutionInputs) -> None:
    """The kernel gives what the plain formulation gives in float64, NaN for NaN."""
    expected = deform_conv2d(*(x.double() if isinstance(x, Tensor) else x for x in inputs))
    result = cuda_sampling.cuda_deform_conv2d(*inputs)
    assert result.dtype == inputs.x.dtype
    assert result.stride() == expected.stride()
    assert torch.equal(result.isnan(), expected.isnan())
    error = (result.double() - expected).nan_to_num().abs().max()
    assert error <= TOLERANCE[result.dtype] * expected.nan_to_num().abs().max()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_networks_channels(dtype: torch.dtype) -> None:
    assert_as_plain(convolution_inputs(channels=256, groups=8, dtype=dtype))


def test_without_bias() -> None:
    assert_as_plain(convolution_inputs()._replace(bias=None))


@pytest.mark.parametrize("rows", [1, 3])
def test_strips_that_begin_and_end_anywhere(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = convolution_inputs(batch=3)
    monkeypatch.setattr(cuda_sampling, "COLUMN_BYTES", rows * 7 * 9 * 64 * 4)
    assert_as_plain(inputs)


def test_other_memory_layouts() -> None:
    x, offset_mask, *rest = convolution_inputs()
    assert_as_plain(ConvolutionInputs(x.contiguous(), offset_mask.contiguous(), *rest))
    misaligned = torch.zeros(x.numel() + 1)[1:].view(2, 5, 7, 64).permute(0, 3, 1, 2).copy_(x)
    every_other = torch.zeros(2, 54, 10, 14)[:, :, ::2, ::2].copy_(offset_mask)
    assert_as_plain(ConvolutionInputs(misaligned, every_other, *rest))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_any_size(height: int, width: int, seed: int) -> None:
    assert_as_plain(convolution_inputs(height, width, batch=1, seed=seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_offsets_to_and_beyond_the_borders(dtype: torch.dtype) -> None:
    inputs = convolution_inputs(dtype=dtype)
    special = torch.tensor([0.0, 1.0, -1.0, 0.5, -0.25, 3.0, 7.0, -7.0, 1e-7, -1e-7, 6e4, -6e4, INF, -INF, NAN])
    offsets = inputs.offset_mask[:, :36]
    offsets[:] = special.repeat(-(-offsets.numel() // len(special)))[: offsets.numel()].view(offsets.shape)
    assert_as_plain(inputs)


def test_masks_of_any_size() -> None:
    inputs = convolution_inputs()
    inputs.offset_mask[:, 36:, 0] = 200.0
    inputs.offset_mask[:, 36:, 1] = -200.0
    inputs.offset_mask[0, 40, 2, 3] = NAN
    inputs.offset_mask[0, 41, 4] = -INF
    assert_as_plain(inputs)


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
def test_tensors_that_do_not_fit(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cuda_sampling.cuda_deform_conv2d(*convolution_inputs()._replace(**change))


@pytest.mark.parametrize("shape", [{"channels": 24}, {"dtype": torch.float64}])
def test_the_plain_formulation_runs_what_the_kernel_does_not_cover(shape: dict[str, object]) -> None:
    inputs = convolution_inputs(**shape)
    assert torch.equal(cuda_sampling.cuda_deform_conv2d(*inputs), deform_conv2d(*inputs))
