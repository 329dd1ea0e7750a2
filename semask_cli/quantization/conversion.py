"""Quantization of a network's layers.

Quantized are the layers with most of the products: those of the Swin blocks and patch merging, values and residuals of
the semantic attention, 3x3 convolutions of the heads, and projections and feed-forward networks of the deformable
encoder. In floating point stay the semantic attention's maps, whose softmax depends on small differences, attention
itself, norms, sampling offsets and weights, the query decoder (1 % of the products), and the class and mask outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from semask_cli.models.backbone import SwinBlock
from semask_cli.models.deformable_encoder import EncoderLayer
from semask_cli.models.fpn import ConvNormReLU
from semask_cli.models.network import Network
from semask_cli.models.patches import PatchMerging
from semask_cli.models.pixel_decoders import ConvNorm
from semask_cli.models.semantic_attention import SemanticAttention
from semask_cli.quantization.layers import Grid, QuantizedConv, QuantizedLinear


@dataclass(frozen=True, slots=True)
class QuantizedLayer:
    """A layer to quantize, by its name in the network.

    `smoothed` names the layer before it in which its input channels can be divided: a LayerNorm, or a linear layer
    whose last outputs they are (values of an attention). `feeds` names the layer that takes its output unchanged.
    """

    name: str
    smoothed: str = ""
    feeds: str = ""


@dataclass(frozen=True, slots=True)
class LayerScales:
    """The calibrated range of a layer's input, after smoothing.

    `smoothing` (C_in,) float32 are the divisors of its input channels; None without smoothing.
    """

    low: float
    high: float
    smoothing: Tensor | None = None

    @property
    def grid(self) -> Grid:
        return Grid.spanning(self.low, self.high)


def quantized_layers(network: Network) -> Iterator[QuantizedLayer]:
    """The layers of a float network to quantize."""
    for name, module in network.named_modules():
        if isinstance(module, SwinBlock):
            yield QuantizedLayer(f"{name}.attn.qkv", smoothed=f"{name}.norm1")
            yield QuantizedLayer(f"{name}.attn.proj", smoothed=f"{name}.attn.qkv")
            yield QuantizedLayer(f"{name}.mlp.fc1", smoothed=f"{name}.norm2", feeds=f"{name}.mlp.fc2")
            yield QuantizedLayer(f"{name}.mlp.fc2")
        elif isinstance(module, SemanticAttention):
            yield QuantizedLayer(f"{name}.mlp_v")
            yield QuantizedLayer(f"{name}.mlp_res")
        elif isinstance(module, PatchMerging):
            yield QuantizedLayer(f"{name}.reduction", smoothed=f"{name}.norm")
        elif isinstance(module, EncoderLayer):
            yield QuantizedLayer(f"{name}.self_attn.value_proj")
            yield QuantizedLayer(f"{name}.self_attn.output_proj")
            yield QuantizedLayer(f"{name}.linear1", feeds=f"{name}.linear2")
            yield QuantizedLayer(f"{name}.linear2")
        elif isinstance(module, ConvNormReLU) or (isinstance(module, ConvNorm) and module.kernel_size == (3, 3)):
            yield QuantizedLayer(name)


@torch.no_grad()
def quantize_network_(network: Network, scales: Mapping[str, LayerScales]) -> None:
    """Replace layers of a float32 network on the CPU by quantized ones, in place, with `scales` by name."""
    layers = list(quantized_layers(network))
    for layer in layers:
        if (smoothing := scales[layer.name].smoothing) is not None:
            _smooth(network.get_submodule(layer.smoothed), network.get_submodule(layer.name), smoothing)
    for layer in layers:
        output = scales[layer.feeds].grid if layer.feeds else None
        replacement = _quantized(network.get_submodule(layer.name), input=scales[layer.name].grid, output=output)
        parent, _, attribute = layer.name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, replacement)


def input_weights(module: nn.Module) -> Tensor:
    """The largest absolute weight of each input channel of a linear layer: (C_in,)."""
    assert isinstance(module, nn.Linear)
    return module.weight.abs().amax(0)


def _smooth(before: nn.Module, layer: nn.Module, smoothing: Tensor) -> None:
    """Divide the output of `before` by `smoothing`, and multiply the weights of `layer` by it."""
    assert isinstance(layer, nn.Linear)
    layer.weight = _frozen(layer.weight * smoothing)
    assert isinstance(before, nn.LayerNorm | nn.Linear)
    factors = torch.ones_like(before.bias)
    factors[-len(smoothing) :] = 1 / smoothing
    before.weight = _frozen(before.weight * (factors[:, None] if isinstance(before, nn.Linear) else factors))
    before.bias = _frozen(before.bias * factors)


def _quantized(module: nn.Module, *, input: Grid, output: Grid | None) -> nn.Module:
    if isinstance(module, ConvNormReLU):
        module.fold_()
        return QuantizedConv(module.conv.weight, module.conv.bias, padding=(1, 1), input=input, relu=True)
    if isinstance(module, ConvNorm):
        return QuantizedConv(
            module.weight, module.bias, padding=(1, 1), input=input, relu=module.relu, norm=module.norm
        )
    assert isinstance(module, nn.Linear)
    return QuantizedLinear(module, input=input, output=output)


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)
