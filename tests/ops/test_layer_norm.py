"""kernels/add_layer_norm.cu, run on the CPU, against float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from semask_cli.ops import layer_norm as module
from semask_cli.ops.layer_norm import add_layer_norm, cuda_add_layer_norm, reference_add_layer_norm

FLOAT, HALF, BFLOAT = torch.float32, torch.float16, torch.bfloat16


def inputs(
    channels: int, types: tuple[torch.dtype, torch.dtype], *, offset: float = 0.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A residual and its branch, of these types, weight and bias."""
    generator = torch.Generator().manual_seed(0)
    x, branch = (torch.randn(2, 3, channels, generator=generator) * 3 + offset for _ in range(2))
    weight, bias = torch.randn(2, channels, generator=generator).unbind(0)
    return x.to(types[0]), branch.to(types[1]), weight, bias


@pytest.fixture
def kernel(on_host: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU tensors go to the kernel's source."""
    monkeypatch.setattr(module, "has_kernel", lambda x, branch: True)


@pytest.mark.parametrize(
    ("channels", "types"),
    [
        (8, (FLOAT, BFLOAT)),
        (192, (FLOAT, BFLOAT)),
        (264, (FLOAT, FLOAT)),
        (264, (BFLOAT, BFLOAT)),
        (1536, (HALF, HALF)),
    ],
)
def test_it_is_the_norm_of_float64(kernel: None, channels: int, types: tuple[torch.dtype, torch.dtype]) -> None:
    x, branch, weight, bias = inputs(channels, types)
    added, normed = cuda_add_layer_norm(x, branch, weight, bias, 1e-5)
    assert (added.dtype, normed.dtype) == types
    assert torch.equal(added, x + branch)
    expected = nn.functional.layer_norm(added.double(), (channels,), weight.double(), bias.double(), 1e-5)
    close = 2e-6 if types[1] == FLOAT else torch.finfo(types[1]).eps / 2  # half a step of the largest mantissa
    torch.testing.assert_close(normed.double(), expected, atol=2e-6, rtol=close)


def test_a_mean_far_from_zero_costs_no_digits(kernel: None) -> None:
    x, branch, weight, bias = inputs(264, (FLOAT, FLOAT), offset=1000.0)
    added, normed = cuda_add_layer_norm(x, branch, weight, bias, 1e-5)
    expected = nn.functional.layer_norm(added.double(), (264,), weight.double(), bias.double(), 1e-5)
    torch.testing.assert_close(normed.double(), expected, atol=3e-4, rtol=0)  # 2000 has steps of 1.2e-4


def test_what_does_not_fit_is_refused(kernel: None) -> None:
    x, branch, weight, bias = inputs(96, (FLOAT, FLOAT))
    with pytest.raises(ValueError, match=r"\(95,\) and \(96,\) do not fit rows of 96"):
        cuda_add_layer_norm(x, branch, weight[1:], bias, 1e-5)


@pytest.mark.parametrize("types", [(FLOAT, FLOAT), (FLOAT, BFLOAT)])
def test_the_operator_is_one(types: tuple[torch.dtype, torch.dtype]) -> None:
    arguments = (*inputs(16, types), 1e-5)
    torch.library.opcheck(torch.ops.semask.add_layer_norm, arguments)
    assert torch.equal(torch.ops.semask.add_layer_norm(*arguments)[1], reference_add_layer_norm(*arguments)[1])


def test_without_a_kernel_torch_adds_and_normalises() -> None:
    x, branch, _, _ = inputs(16, (FLOAT, FLOAT))
    norm = nn.LayerNorm(16)
    added, normed = add_layer_norm(x, branch, norm)
    assert torch.equal(added, x + branch)
    assert torch.equal(normed, norm(x + branch))
    added, normed = add_layer_norm(x, None, norm)
    assert added is x
    assert torch.equal(normed, norm(x))


@torch.inference_mode()
def test_with_a_kernel_the_norm_comes_in_the_type_of_the_branch(kernel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_add_layer_norm", cuda_add_layer_norm)
    x, branch, weight, bias = inputs(192, (FLOAT, BFLOAT))
    norm = nn.LayerNorm(192)
    norm.weight, norm.bias = nn.Parameter(weight), nn.Parameter(bias)
    added, normed = add_layer_norm(x, branch, norm)
    assert torch.equal(added, x + branch)
    torch.testing.assert_close(normed, norm(x + branch).to(BFLOAT), atol=1e-5, rtol=1e-2)


def test_where_there_is_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.launcher, "available", lambda kernel, device: True)

    def on_cuda(channels: int, dtype: torch.dtype) -> Tensor:
        class OnDevice(Tensor):
            device = torch.device("cuda")

        return torch.empty(2, channels, dtype=dtype).as_subclass(OnDevice)

    assert module.has_kernel(on_cuda(1536, FLOAT), on_cuda(1536, BFLOAT))
    assert not module.has_kernel(on_cuda(96, HALF), on_cuda(96, FLOAT))  # the sum is no half
    assert not module.has_kernel(on_cuda(1544, HALF), on_cuda(1544, HALF))
    assert not module.has_kernel(on_cuda(97, HALF), on_cuda(97, HALF))
    assert not module.has_kernel(on_cuda(96, torch.float64), on_cuda(96, torch.float64))
    assert not module.has_kernel(torch.empty(2, 96), torch.empty(2, 96))
