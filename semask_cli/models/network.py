"""What every network of the zoo offers to the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.models.pixel_decoders import DeformableConv
from semask_cli.models.prediction import Prediction
from semask_cli.models.transformer import Attention


class Network(nn.Module):
    """A network whose `predict` knows the classes of an image at a low resolution.

    `size_divisor` is what the sides of its input are padded to a multiple of. `softmax` says whether its class maps are
    logits, so that views are averaged after a softmax (Semantic-FPN), or scores that are averaged as they are (mask
    classification).
    """

    softmax: ClassVar[bool]
    size_divisor: int

    def predict(self, pixels: Tensor) -> list[Prediction]:
        """Normalised pixels (B, 3, H, W), of any size, to one Prediction for each image of the batch."""
        return self.predictions(self(self.padded(pixels)), (pixels.shape[2], pixels.shape[3]))

    def padded(self, pixels: Tensor) -> Tensor:
        """What `forward` takes: zero-padded right and bottom until `size_divisor` divides the sides, as published."""
        height, width = pixels.shape[2:]
        right, bottom = -width % self.size_divisor, -height % self.size_divisor
        return F.pad(pixels, (0, right, 0, bottom)) if right or bottom else pixels

    def predictions(self, outputs: Any, size: tuple[int, int]) -> list[Prediction]:
        """What `forward` made of padded pixels, which are a batch of images of `size` (height, width)."""
        raise NotImplementedError

    def prepare_for_cpu_(self) -> None:
        """Store weights as a CPU's convolutions take them, in place, for inference alone.

        oneDNN reorders them in every pass, which it does faster where channels are last.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)

    def matmul_parameters(self) -> Iterator[nn.Parameter]:
        """Weights and biases of matrix products and convolutions: those that autocast casts."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, Attention, DeformableConv)):
                yield from module.parameters(recurse=False)
