"""What every network of the zoo offers to the engine."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from semask_cli.models.prediction import Prediction


class Network(nn.Module):
    """A network whose `predict` knows the classes of an image at a low resolution.

    `softmax` says whether its class maps are logits, so that views are averaged after a softmax (Semantic-FPN), or
    scores that are averaged as they are (mask classification).
    """

    softmax: ClassVar[bool]

    def predict(self, pixels: Tensor) -> list[Prediction]:
        """Normalised pixels (B, 3, H, W), of any size, to one Prediction for each image of the batch."""
        raise NotImplementedError
