"""The interface of every network of the zoo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from semask_cli.models.padding import zero_pad
from semask_cli.models.pixel_decoders import DeformableConv
from semask_cli.models.prediction import Prediction
from semask_cli.models.transformer import Attention


class Network(nn.Module):
    """A network that predicts the classes of an image at a low resolution.

    The sides of its input are padded to multiples of `size_divisor`. If `softmax`, its class maps are logits, and views
    are averaged after a softmax (Semantic-FPN); otherwise they are scores, averaged directly (mask classification).
    """

    softmax: ClassVar[bool]
    size_divisor: int

    def predict(self, pixels: Tensor) -> list[Prediction]:
        """Normalised pixels (B, 3, H, W) of any size -> one Prediction per image."""
        return self.predictions(self(self.padded(pixels)), (pixels.shape[2], pixels.shape[3]))

    def padded(self, pixels: Tensor) -> Tensor:
        """Input for `forward`: zero-padded right and bottom to multiples of `size_divisor`, as published."""
        height, width = pixels.shape[2:]
        right, bottom = -width % self.size_divisor, -height % self.size_divisor
        return zero_pad(pixels, (0, right, 0, bottom))

    def predictions(self, outputs: Any, size: tuple[int, int]) -> list[Prediction]:
        """The predictions in the `outputs` of `forward`; `size` is (height, width) of the images before padding."""
        raise NotImplementedError

    def prepare_for_cpu_(self) -> None:
        """Change the memory layout of convolution weights for inference on a CPU, in place.

        oneDNN reorders them in every pass, which is faster from channels-last.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)

    def matmul_parameters(self) -> Iterator[nn.Parameter]:
        """The weights and biases that autocast would cast: those of matrix products and convolutions."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, Attention, DeformableConv)):
                yield from module.parameters(recurse=False)
