"""Semantic-FPN: the head of the twelve rows that end in -fpn.

Follows «Panoptic Feature Pyramid Networks» (Kirillov et al., arXiv 1901.02446) as SeMask's authors used it:
MMSegmentation's FPNHead reading the backbone's features directly (published code Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.models.backbone import SeMaskSwin
from semask_cli.models.network import Network
from semask_cli.models.patches import PatchEmbed
from semask_cli.models.prediction import DenseLogits, Prediction
from semask_cli.ops.linear import convolution_relu
from semask_cli.zoo import ModelSpec
from semask_cli.zoo_values import FPNHeadSpec


class ConvNormReLU(nn.Module):
    """3x3 convolution without bias, BatchNorm, ReLU."""

    bn: nn.BatchNorm2d | nn.Identity

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.bn, nn.Identity):
            return convolution_relu(x, self.conv.weight, self.conv.bias)
        return F.relu(self.bn(self.conv(x)), inplace=True)

    @torch.no_grad()
    def fold_(self) -> None:
        """Make the norm part of the convolution, in place: in evaluation mode it is a factor and a summand."""
        if isinstance(self.bn, nn.Identity):
            return
        assert self.bn.running_mean is not None
        assert self.bn.running_var is not None
        factors = self.bn.weight * (self.bn.running_var + self.bn.eps).rsqrt()
        self.conv.weight = nn.Parameter(self.conv.weight * factors[:, None, None, None], requires_grad=False)
        self.conv.bias = nn.Parameter(self.bn.bias - self.bn.running_mean * factors, requires_grad=False)
        self.bn = nn.Identity()


class FPNHead(nn.Module):
    """Features at strides 4 to 32 -> class logits at stride 4.

    Each feature is convolved and upsampled by two until it is at stride 4, and their sum is classified. The last
    upsampling comes after the sum of those that have one size, usually all: a resize is linear.
    """

    def __init__(self, channels_in: tuple[int, ...], spec: FPNHeadSpec, *, classes: int) -> None:
        super().__init__()
        self.scale_heads = nn.ModuleList(
            nn.Sequential(*self._scale_head(i, channels_in[i], spec.channels)) for i in range(len(channels_in))
        )
        self.conv_seg = nn.Conv2d(spec.channels, classes, 1)

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
        sums: dict[torch.Size, Tensor] = {}
        for head, feature in zip(cast("Iterable[nn.Sequential]", self.scale_heads[1:]), features[1:], strict=True):
            scaled = head[:-1](feature)
            sums[scaled.shape] = sums[scaled.shape] + scaled if scaled.shape in sums else scaled
        for summed in sums.values():
            scaled = F.interpolate(summed, scale_factor=2, mode="bilinear", align_corners=False)
            if scaled.shape != total.shape:  # a size that was rounded up overshoots when doubled: resized, as published
                scaled = F.interpolate(scaled, total.shape[2:], mode="bilinear", align_corners=False)
            total = scaled.add_(total)
        return self._classify_one(total) if _is_one_on_cpu(total) else self.conv_seg(total)

    def _classify_one(self, x: Tensor) -> Tensor:
        """`conv_seg` of one image, with classes first in memory, as merging reads them."""
        pixels = x.permute(0, 2, 3, 1).flatten(0, 2)  # (1, C, h, w) -> (h * w, C)
        assert self.conv_seg.bias is not None
        weight, bias = self.conv_seg.weight.flatten(1).to(x.dtype), self.conv_seg.bias[:, None].to(x.dtype)
        return torch.addmm(bias, weight, pixels.T).unflatten(1, x.shape[2:])[None]


def _is_one_on_cpu(x: Tensor) -> bool:
    if torch.compiler.is_compiling():  # a graph may run elsewhere, or on batches
        return False
    return x.device.type == "cpu" and len(x) == 1


class SemanticFPN(Network):
    """SeMask Swin under a Semantic-FPN head."""

    softmax = True
    size_divisor = PatchEmbed.SIZE  # the published code pads to whole patches, within the backbone

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.backbone = SeMaskSwin(spec.backbone)
        self.decode_head = FPNHead(self.backbone.channels, FPNHeadSpec(**spec.head), classes=spec.num_classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) -> class logits (B, classes, ceil(H / 4), ceil(W / 4))."""
        features, _ = self.backbone(pixels)
        return self.decode_head(features)

    def prepare_for_cpu_(self) -> None:
        for module in self.modules():
            if isinstance(module, ConvNormReLU):
                module.fold_()
        super().prepare_for_cpu_()

    def predictions(self, outputs: Tensor, size: tuple[int, int]) -> list[Prediction]:
        return [DenseLogits(logits, size) for logits in outputs.float().contiguous()]
