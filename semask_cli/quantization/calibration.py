"""The ranges of layer inputs in a float32 network on real images, and the scales for int8.

SmoothQuant (Xiao et al., arXiv 2211.10438, equation 4): after a LayerNorm or a linear layer, each channel is divided,
and its weights are multiplied, by

    max |x|^a / max |w|^(1 - a)

Then one scale per layer is fine enough for all of its channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from semask_cli.models.network import Network
from semask_cli.quantization.conversion import LayerScales, input_weights, quantized_layers

SMOOTHING = 0.5
"""`a` above: the share of the range of activations that moves to the weights."""

NOISE = 128
"""Side of the noise image for random weights, in pixels: a multiple of every network's `size_divisor`."""


class Calibration:
    """The observed minimum and maximum of each input channel of a network's layers."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._extremes: dict[str, tuple[Tensor, Tensor]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Observe all passes of the network within the block."""
        hooks = [
            self._network.get_submodule(layer.name).register_forward_pre_hook(partial(self._count, layer.name))
            for layer in quantized_layers(self._network)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _count(self, name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x: Tensor = inputs[0]
        channels = (x if isinstance(module, nn.Linear) else x.movedim(1, -1)).flatten(0, -2)
        low, high = channels.amin(0), channels.amax(0)
        if name in self._extremes:
            before = self._extremes[name]
            low, high = torch.minimum(low, before[0]), torch.maximum(high, before[1])
        self._extremes[name] = low, high

    def scales(self) -> dict[str, LayerScales]:
        """The scales of every layer, by name. At least one pass must have been observed."""
        found = {}
        for layer in quantized_layers(self._network):
            low, high = self._extremes[layer.name]
            smoothing = None
            if layer.smoothed:
                widths = torch.maximum(low.abs(), high.abs())
                smoothing = _smoothing(widths, input_weights(self._network.get_submodule(layer.name)))
                low, high = low / smoothing, high / smoothing
            found[layer.name] = LayerScales(float(low.min()), float(high.max()), smoothing)
        return found


@torch.no_grad()
def noise_scales(network: Network) -> dict[str, LayerScales]:
    """Scales for random weights, calibrated on noise, to measure speed."""
    calibration = Calibration(network)
    with calibration.watching():
        network(torch.randn(1, 3, NOISE, NOISE))
    return calibration.scales()


def _smoothing(widths: Tensor, weights: Tensor) -> Tensor:
    smoothing = widths.clamp(min=1e-5) ** SMOOTHING / weights.clamp(min=1e-5) ** (1 - SMOOTHING)
    return smoothing / smoothing.log().mean().exp()  # geometric mean one, so that stored values stay moderate
