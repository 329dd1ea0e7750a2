"""A linear layer says the same wherever its product is taken."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.ops import linear as module
from semask_cli.ops.linear import Activation, Linear, linear

ACTIVATIONS = {"none": lambda x: x, "relu": F.relu, "gelu": F.gelu}
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch is built without oneDNN")
ONEDNN_HAS_BF16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # with AVX512


@pytest.fixture(params=[False, pytest.param(True, marks=needs_onednn)], ids=["torch", "onednn"])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(module, "onednn_is_faster", lambda: request.param)
    return bool(request.param)


def operators(*arguments: object, **keywords: object) -> list[str]:
    with torch.profiler.profile() as profile:
        linear(*arguments, **keywords)  # type: ignore[arg-type]
    return [event.key for event in profile.key_averages()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 2, 7, 5), (0, 5)])
@pytest.mark.parametrize("biased", [True, False])
def test_it_is_the_product_the_bias_and_the_activation(
    activation: Activation, shape: tuple[int, ...], biased: bool, onednn: bool
) -> None:
    x, weight, bias = torch.randn(shape), torch.randn(6, 5), torch.randn(6) if biased else None
    expected = ACTIVATIONS[activation](F.linear(x.double(), weight.double(), None if bias is None else bias.double()))
    torch.testing.assert_close(linear(x, weight, bias, activation=activation), expected.float())


@needs_onednn
@given(rows=st.integers(1, 40), inputs=st.integers(1, 70), outputs=st.integers(1, 70), seed=st.integers(0, 99))
def test_both_products_agree_at_every_size(rows: int, inputs: int, outputs: int, seed: int) -> None:
    torch.manual_seed(seed)
    # Strided as tokens are that were a feature map, and as a third of joined weights is.
    x, weight, bias = (
        torch.randn(2, inputs, rows).mT,
        torch.randn(3 * outputs, inputs).chunk(3)[1],
        torch.randn(outputs),
    )
    found = []
    for onednn in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "onednn_is_faster", lambda answer=onednn: answer)
            found.append(linear(x, weight, bias, activation="gelu"))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-4)


def test_who_wants_gradients_gets_them(onednn: bool) -> None:
    layer, x = Linear(5, 6, activation="gelu"), torch.randn(3, 5, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None
    layer.requires_grad_(False)
    assert not layer(x.detach()).requires_grad


@needs_onednn
@torch.inference_mode()
def test_the_fused_product_is_taken_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = torch.randn(8, 5), torch.randn(6, 5), torch.randn(6)
    for faster in (True, False):
        monkeypatch.setattr(module, "onednn_is_faster", lambda answer=faster: answer)
        assert ("mkldnn::_linear_pointwise" in operators(x, weight, bias)) is faster
    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)
    assert "mkldnn::_linear_pointwise" not in operators(x.double(), weight.double(), bias.double())


@torch.inference_mode()
def test_autocast_decides_the_precision(onednn: bool) -> None:
    if onednn and not ONEDNN_HAS_BF16:
        pytest.skip("oneDNN does not multiply bfloat16 here")
    x, weight, bias = torch.randn(8, 5), torch.randn(6, 5), torch.randn(6)
    rounded = F.linear(x.bfloat16(), weight.bfloat16(), bias.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        for found in (linear(x, weight, bias), linear(x, weight.bfloat16(), bias.bfloat16())):
            torch.testing.assert_close(found, rounded)
    assert linear(x, weight, bias).dtype == torch.float32
    with pytest.raises(RuntimeError, match="dtype"):
        linear(x, weight.bfloat16(), bias.bfloat16())


@pytest.mark.skipif(not ONEDNN_HAS_BF16, reason="oneDNN does not multiply bfloat16 here")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@torch.inference_mode()
def test_a_product_in_halves_is_the_product(activation: Activation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)
    x, weight, bias = (torch.randn(shape).bfloat16() for shape in ((1, 3, 7, 5), (6, 5), (6,)))
    found = []
    for halved in (False, True):
        monkeypatch.setattr(module, "one_of_two_threads_idles", lambda *_, answer=halved: answer)
        found.append(linear(x, weight, bias, activation=activation))
    torch.testing.assert_close(*found, rtol=1e-2, atol=1e-2)
