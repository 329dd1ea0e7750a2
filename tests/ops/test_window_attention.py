"""kernels/window_attention*.cu, run on the CPU, against float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semask_cli.ops import window_attention as module
from semask_cli.ops.window_attention import cuda_window_attention, reference_window_attention, window_attention

# Two steps of a half number near one; of float32 some more, of scores of ten
CLOSE = {torch.float32: 4e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def inputs(size: tuple[int, int], *, window: int, batch: int = 1, heads: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(batch, *size, 3, heads, module.HEAD, generator=generator)
    padding = torch.randn(3, heads, module.HEAD, generator=generator)
    return qkv, padding, torch.randn(heads, (2 * window - 1) ** 2, generator=generator)


@pytest.fixture
def kernel(on_host: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU tensors go to the kernel's source."""
    monkeypatch.setattr(module, "has_kernel", lambda device, dtype, *, window, head: True)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(
    ("size", "window", "shift"),
    [
        ((7, 7), 7, 0),
        ((16, 9), 7, 3),
        ((5, 20), 7, 3),
        ((12, 12), 12, 0),
        pytest.param((13, 14), 12, 6, marks=pytest.mark.slow),
    ],
)
def test_it_is_the_attention_of_float64(
    kernel: None, size: tuple[int, int], window: int, shift: int, dtype: torch.dtype
) -> None:
    qkv, padding, table = inputs(size, window=window)
    qkv, padding = qkv.to(dtype), padding.to(dtype)
    expected = reference_window_attention(qkv.double(), padding.double(), table.double(), window, shift)
    found = cuda_window_attention(qkv, padding, table, window, shift)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, atol=CLOSE[dtype], rtol=CLOSE[dtype])


def test_scores_as_large_as_trained_ones_and_a_batch(kernel: None) -> None:
    qkv, padding, table = (t.half() for t in inputs((8, 15), window=7, batch=2))
    qkv[..., 0, :, :] *= 20
    expected = reference_window_attention(qkv.double(), padding.double(), table.double(), 7, 3)
    found = cuda_window_attention(qkv, padding, table, 7, 3)
    torch.testing.assert_close(found.double(), expected, atol=4e-3, rtol=4e-3)


def test_what_does_not_fit_is_refused(kernel: None) -> None:
    qkv, padding, table = (t.half() for t in inputs((8, 15), window=7))
    for wrong in ((qkv, padding[:2], table, 7, 3), (qkv, padding, table[:, 1:], 7, 3), (qkv, padding, table, 7, 7)):
        with pytest.raises(ValueError, match="do not fit"):
            cuda_window_attention(*wrong)


def test_the_operator_is_one() -> None:
    qkv, padding, table = inputs((8, 15), window=7)
    expected = reference_window_attention(qkv, padding, table, 7, 3)
    torch.testing.assert_close(window_attention(qkv, padding, table, 7, 3), expected)
    torch.library.opcheck(torch.ops.semask.window_attention, (qkv, padding, table, 7, 3))


def test_where_there_is_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.launcher, "available", lambda kernel, device: True)
    cuda, half = torch.device("cuda"), torch.float16
    assert module.has_kernel(cuda, half, window=12, head=32)
    assert module.has_kernel(cuda, torch.float32, window=7, head=32)
    assert not module.has_kernel(cuda, torch.float64, window=12, head=32)
    assert not module.has_kernel(cuda, half, window=8, head=32)
    assert not module.has_kernel(cuda, half, window=12, head=16)
    assert not module.has_kernel(torch.device("cpu"), half, window=12, head=32)
