"""Linear layers and convolutions in int8, by oneDNN.

Inputs are uint8 with one calibrated scale and zero point per layer; weights are int8 with one scale per output channel
and no zero point; sums are int32. Bias and activation are fused. These are operators of torch, called eagerly: no
compiler is needed.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.ops.linear import Activation

LEVELS = 255
"""Steps of an input between its minimum and maximum."""

WEIGHT_LEVELS = 127


@dataclass(frozen=True, slots=True)
class Grid:
    """The values of uint8 numbers n: scale * (n - zero_point)."""

    scale: float
    zero_point: int

    @classmethod
    def spanning(cls, low: float, high: float) -> Grid:
        """The grid from `low` to `high`, extended to include zero exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / LEVELS, 1e-12)
        return cls(scale, round(-low / scale))

    def quantize(self, x: Tensor) -> Tensor:
        """float32 or bfloat16 to uint8, rounded to the nearest and clamped, with the memory layout of `x`."""
        quantized = torch.quantize_per_tensor(x.float(), self.scale, self.zero_point, torch.quint8)
        # The numbers of the quantized tensor, without a copy.
        return x.new_empty(0, dtype=torch.uint8).set_(
            quantized.untyped_storage(), 0, quantized.shape, quantized.stride()
        )


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # quantized dtypes are deprecated, but the only single-pass way
    Grid(1.0, 0).quantize(torch.zeros(1))  # it warns once in a process


class _Quantized(nn.Module):
    """The quantized weights (C_out, ...) of a layer whose input is on the grid `input`, `packed` for oneDNN."""

    packed: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, *, input: Grid) -> None:
        super().__init__()
        self.input = input
        weight = weight.float()
        self.scales = weight.flatten(1).abs().amax(1).clamp(min=1e-12) / WEIGHT_LEVELS
        self.zero_points = torch.zeros(len(weight), dtype=torch.int32)
        self.bias = None if bias is None else bias.detach().float()

    def integers(self, weight: Tensor) -> Tensor:
        scales = self.scales.view(-1, *[1] * (weight.dim() - 1))
        return (weight.float() / scales).round_().to(torch.int8)

    def operands(self, x: Tensor) -> tuple[Any, ...]:
        """The first arguments of both oneDNN operators: the input on its grid, weights and bias.

        A uint8 input is already on the grid.
        """
        on_grid = x if x.dtype == torch.uint8 else self.input.quantize(x)
        grid, weights = (self.input.scale, self.input.zero_point), (self.packed, self.scales, self.zero_points)
        return on_grid, *grid, *weights, self.bias


class QuantizedLinear(_Quantized):
    """A linear layer and its activation: (..., C_in) to (..., C_out).

    Returns uint8 on the grid `output`, or, without one, the dtype of torch's products: bfloat16 under autocast, else
    float32.
    """

    def __init__(self, layer: nn.Linear, *, input: Grid, output: Grid | None = None) -> None:
        super().__init__(layer.weight, layer.bias, input=input)
        self.activation: Activation = getattr(layer, "activation", "none")
        self.output = output
        self.packed = torch.ops.onednn.qlinear_prepack(self.integers(layer.weight), None)

    def forward(self, x: Tensor) -> Tensor:
        output, dtype = (Grid(1.0, 0), _product_dtype()) if self.output is None else (self.output, torch.uint8)
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            *self.operands(x),
            output.scale,
            output.zero_point,
            dtype,
            self.activation,
            [],
            "none" if self.activation == "gelu" else "",
        )
        return product


class QuantizedConv(_Quantized):
    """A convolution of stride 1, an optional `norm` and an optional ReLU: (B, C_in, H, W) to (B, C_out, H, W).

    Channels are last in memory.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        padding: tuple[int, int],
        input: Grid,
        relu: bool,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__(weight, bias, input=input)
        self.padding, self.relu, self.norm = list(padding), relu, norm
        self.packed = torch.ops.onednn.qconv_prepack(
            self.integers(weight), self.scales, input.scale, input.zero_point, [1, 1], self.padding, [1, 1], 1, None
        )

    def forward(self, x: Tensor) -> Tensor:
        convolved: Tensor = torch.ops.onednn.qconv_pointwise(
            *self.operands(x.contiguous(memory_format=torch.channels_last)),
            [1, 1],
            self.padding,
            [1, 1],
            1,
            1.0,
            0,
            _product_dtype(),
            "relu" if self.relu and self.norm is None else "none",
            [],
            "",
        )
        if self.norm is None:
            return convolved
        normed = self.norm(convolved)
        return F.relu(normed, inplace=True) if self.relu else normed


def _product_dtype() -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
