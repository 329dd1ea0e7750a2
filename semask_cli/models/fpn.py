"""Semantic-FPN: the head of the twelve rows that end in -fpn.

Follows «Panoptic Feature Pyramid Networks» (Kirillov et al., arXiv 1901.02446) as SeMask's authors used it:
MMSegmentation's FPNHead reading the backbone's features directly (published code Apache-2.0).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.models.backbone import SeMaskSwin
from semask_cli.models.network import Network
from semask_cli.models.patches import PatchEmbed
from semask_cli.models.prediction import DenseLogits, Prediction
from semask_cli.zoo import ModelSpec


class ConvNormReLU(nn.Module):
    """3x3 convolution without bias, BatchNorm, ReLU."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class FPNHead(nn.Module):
    """Features at strides 4 to 32 -> class logits at stride 4.

    Each feature is convolved and upsampled by two until it is at stride 4, and their sum is classified.
    """

    def __init__(self, channels_in: tuple[int, ...], *, classes: int, channels: int = 256) -> None:
        super().__init__()
        self.scale_heads = nn.ModuleList(
            nn.Sequential(*self._scale_head(i, channels_in[i], channels)) for i in range(len(channels_in))
        )
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    @staticmethod
    def _scale_head(index: int, channels_in: int, channels: int) -> list[nn.Module]:
        steps: list[nn.Module] = []
        for k in range(max(1, index)):
            steps.append(ConvNormReLU(channels if k else channels_in, channels))
            if index:
                steps.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
        return steps

    def forward(self, features: list[Tensor]) -> Tensor:
        """(B, C_i, h_i, w_i) for the four strides -> (B, classes, h_0, w_0)."""
        total = self.scale_heads[0](features[0])
        for head, feature in zip(self.scale_heads[1:], features[1:], strict=True):
            scaled = head(feature)
            if scaled.shape != total.shape:  # a size that was rounded up overshoots when doubled: resized, as published
                scaled = F.interpolate(scaled, total.shape[2:], mode="bilinear", align_corners=False)
            total = total + scaled
        return self.conv_seg(total)


class SemanticFPN(Network):
    """SeMask Swin under a Semantic-FPN head."""

    softmax = True
    size_divisor = PatchEmbed.SIZE  # the published code pads to whole patches, within the backbone

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.backbone = SeMaskSwin(spec.backbone)
        self.decode_head = FPNHead(self.backbone.channels, classes=spec.num_classes, **spec.head)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) -> class logits (B, classes, ceil(H / 4), ceil(W / 4))."""
        features, _ = self.backbone(pixels)
        return self.decode_head(features)

    def predictions(self, outputs: Tensor, size: tuple[int, int]) -> list[Prediction]:
        return [DenseLogits(logits, size) for logits in outputs.float().contiguous()]
