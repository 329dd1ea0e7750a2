"""What every network of the zoo offers to the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor, nn

from semask_cli.models.pixel_decoders import DeformableConv
from semask_cli.models.prediction import Prediction
from semask_cli.models.transformer import Attention


class Network(nn.Module):
    """A network whose `predict` knows the classes of an image at a low resolution.

    `softmax` says whether its class maps are logits, so that views are averaged after a softmax (Semantic-FPN), or
    scores that are averaged as they are (mask classification).
    """

    softmax: ClassVar[bool]

    def predict(self, pixels: Tensor) -> list[Prediction]:
        """Normalised pixels (B, 3, H, W), of any size, to one Prediction for each image of the batch."""
        raise NotImplementedError

    def matmul_parameters(self) -> Iterator[nn.Parameter]:
        """Weights and biases of matrix products and convolutions: those that autocast casts."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, Attention, DeformableConv)):
                yield from module.parameters(recurse=False)
