"""Linear layers and convolutions, fused with their activation.

Where oneDNN is fastest, it computes bias and activation with the product: torch's own layer writes the bias to memory
before the product and reads the result again for the activation.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.ops.cpu import one_of_two_threads_idles, onednn_is_faster

Activation = Literal["none", "relu", "gelu"]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, activation: Activation = "none") -> Tensor:
    """activation(x @ weight.T + bias): (..., C_in) -> (..., C_out). `gelu` is the exact one, by the error function."""
    autocast = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if autocast else x.dtype
    if (autocast or weight.dtype == dtype) and _goes_to_onednn(dtype, x, weight, bias):
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        if dtype == torch.bfloat16 and one_of_two_threads_idles(x.shape[:-1].numel(), len(weight)):
            halves = [_product(rows, weight, bias, activation) for rows in x.flatten(0, -2).chunk(2)]
            return torch.cat(halves).unflatten(0, x.shape[:-1])
        return _product(x, weight, bias, activation)
    out = F.linear(x, weight, bias)
    if activation == "relu":
        return F.relu(out, inplace=True)
    return F.gelu(out) if activation == "gelu" else out


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation) -> Tensor:
    product = torch.ops.mkldnn._linear_pointwise  # what torch.compile makes of a linear layer on CPU
    fused: Tensor = product(x, weight, bias, activation, [], "none" if activation == "gelu" else "")
    return fused


def convolution_relu(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 3x3 convolution of stride 1 and padding 1, and a ReLU: (B, C_in, H, W) -> (B, C_out, H, W)."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if _goes_to_onednn(dtype, x, weight, bias):
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        padding = stride = dilation = [1, 1]
        product = torch.ops.mkldnn._convolution_pointwise
        fused: Tensor = product(x, weight, bias, padding, stride, dilation, 1, "relu", [], "")
        return fused
    return F.relu(F.conv2d(x, weight, bias, padding=1), inplace=True)


class Linear(nn.Linear):
    """A linear layer and its activation: (..., C_in) -> (..., C_out). Parameters are those of torch.nn.Linear."""

    def __init__(self, channels_in: int, channels: int, *, activation: Activation = "none") -> None:
        super().__init__(channels_in, channels)
        self.activation: Activation = activation

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias, activation=self.activation)


def _goes_to_onednn(dtype: torch.dtype, x: Tensor, *parameters: Tensor | None) -> bool:
    if torch.compiler.is_compiling():  # graphs may run elsewhere, and compilers fuse by themselves
        return False
    if x.device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16) or not onednn_is_faster():
        return False
    # It has no gradient.
    return not torch.is_grad_enabled() or not any(t is not None and t.requires_grad for t in (x, *parameters))
