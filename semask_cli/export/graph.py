"""Tracing a network to a graph of standard operators, for images of one size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import ExportedProgram

from semask_cli.inference.views import MEAN, STD
from semask_cli.models.mask_classification import MaskClassifier
from semask_cli.models.network import Network


class ImageScores(nn.Module):
    """From RGB images, 0 to 255, to class scores at their size, in the published order of operations."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.from_numpy(MEAN)[:, None, None])
        self.register_buffer("std", torch.from_numpy(STD)[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) float32 -> (B, classes, H, W)."""
        height, width = image.shape[2:]
        pixels = (image - self.mean) / self.std
        if not isinstance(self.network, MaskClassifier):
            return F.interpolate(self.network(pixels), (height, width), mode="bilinear", align_corners=False)
        padded = self.network.padded(pixels)
        class_logits, mask_logits = self.network(padded)
        masks = F.interpolate(mask_logits, padded.shape[2:], mode="bilinear", align_corners=False)
        masks = masks[:, :, :height, :width].sigmoid()
        return torch.einsum("bqc,bqhw->bchw", class_logits.softmax(-1)[..., :-1], masks)


@torch.no_grad()
def trace(network: Network, *, height: int, width: int) -> ExportedProgram:
    """The graph of `ImageScores` for images of one size: input `image`, output `scores`."""
    return torch.export.export(ImageScores(network).eval(), (torch.zeros(1, 3, height, width),))
