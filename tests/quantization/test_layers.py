from __future__ import annotations

import pytest
import torch
from torch import nn

from semask_cli.ops.cpu import multiplies_int8
from semask_cli.ops.linear import Linear
from semask_cli.quantization.layers import Grid, QuantizedConv, QuantizedLinear

pytestmark = pytest.mark.skipif(not multiplies_int8(), reason="needs VNNI or AMX")


def test_a_grid_rounds_and_clamps() -> None:
    grid = Grid.spanning(-1.0, 1.55)
    assert (grid.scale, grid.zero_point) == (pytest.approx(0.01), 100)
    values = torch.tensor([0.0, 0.004, 0.006, -0.996, 9.0, -9.0, 1.55])
    assert grid.quantize(values).tolist() == [100, 100, 101, 0, 255, 0, 255]


@pytest.mark.parametrize("activation", ["none", "relu", "gelu"])
def test_a_linear_layer(activation: str) -> None:
    torch.manual_seed(0)
    layer = Linear(64, 48, activation=activation).requires_grad_(False)  # type: ignore[arg-type]
    x = torch.randn(3, 7, 64)
    expected = layer(x)
    found = QuantizedLinear(layer, input=Grid.spanning(float(x.min()), float(x.max())))(x)
    assert (found - expected).abs().max() < 0.03


def test_what_one_layer_gives_the_next_takes_as_it_is() -> None:
    torch.manual_seed(0)
    layer, x = Linear(64, 48).requires_grad_(False), torch.randn(5, 64)
    output = Grid.spanning(-4.0, 4.0)
    integers = QuantizedLinear(layer, input=Grid.spanning(-5.0, 5.0), output=output)(x)
    assert integers.dtype == torch.uint8
    decoded = output.scale * (integers.float() - output.zero_point)
    assert (decoded - layer(x)).abs().max() < 0.06


def test_a_convolution() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(16, 8, 3, padding=1).requires_grad_(False), torch.randn(2, 16, 9, 11)
    quantized = QuantizedConv(conv.weight, conv.bias, padding=(1, 1), input=Grid.spanning(-5.0, 5.0), relu=True)
    assert (quantized(x) - conv(x).relu()).abs().max() < 0.06
