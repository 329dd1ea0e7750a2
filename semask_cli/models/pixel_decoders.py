"""Pixel decoders: from the backbone's features to the per-pixel features for mask prediction.

Follows «MaskFormer» (Cheng et al., arXiv 2107.06278; published code CC BY-NC 4.0), «Mask2Former» (Cheng et al.,
arXiv 2112.01527; published code MIT) and «FaPN» (Huang et al., arXiv 2108.07058; published code MIT).

Two decoders, each with or without feature alignment, give the four of the zoo:

    FeaturePyramid        MaskFormer, and FaPN when aligned
    DeformablePyramid     Mask2Former, and MSFaPN when aligned

Both take the four features (B, C_i, h_i, w_i) at strides 4 to 32, of an image padded to a multiple of 32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.models.deformable_encoder import DeformableEncoder
from semask_cli.ops import deform_conv2d
from semask_cli.zoo_values import Mask2FormerHeadSpec

NORM_GROUPS = 32
DEFORMABLE_GROUPS = 8


class ConvNorm(nn.Conv2d):
    """Convolution without bias, GroupNorm, and a ReLU or none."""

    def __init__(
        self, channels_in: int, channels: int, kernel: int, *, relu: bool = False, norm: nn.Module | None = None
    ) -> None:
        super().__init__(channels_in, channels, kernel, padding=kernel // 2, bias=False)
        self.norm = norm or nn.GroupNorm(NORM_GROUPS, channels)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(super().forward(x))
        return F.relu(x, inplace=True) if self.relu else x


class DeformableConv(nn.Module):
    """3x3 modulated deformable convolution, whose offsets and mask a convolution computes from other features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.conv_offset_mask = nn.Conv2d(channels, 27 * DEFORMABLE_GROUPS, 3, padding=1)
        nn.init.kaiming_uniform_(self.weight)

    def forward(self, x: Tensor, displacing: Tensor) -> Tensor:
        offset_mask = self.conv_offset_mask(displacing)
        # Under autocast the convolution above may return a half type: follow it.
        x, weight, bias = (t.to(offset_mask.dtype) for t in (x, self.weight, self.bias))
        return deform_conv2d(x, offset_mask, weight, bias, DEFORMABLE_GROUPS)


class FeatureAlignment(nn.Module):
    """Aligns the upsampled features with the lateral ones, and adds the two.

    `norm` is also the norm of the layer that follows: one module under two names in the published files.
    """

    def __init__(self, channels: int, *, norm: nn.Module) -> None:
        super().__init__()
        self.offset = ConvNorm(2 * channels, channels, 1, norm=norm)
        self.dcpack_L2 = DeformableConv(channels)

    def forward(self, lateral: Tensor, upsampled: Tensor) -> Tensor:
        displacing = self.offset(torch.cat([lateral, 2 * upsampled], dim=1))
        return F.relu(self.dcpack_L2(upsampled, displacing), inplace=True).add_(lateral)


class TopDown(nn.Module):
    """Steps that merge lateral features into the upsampled coarser ones: adapter_k, align_k if `aligned`, layer_k."""

    def __init__(self, *, aligned: bool) -> None:
        super().__init__()
        self.aligned = aligned

    def add_step(self, k: int, channels_in: int, channels: int) -> None:
        """Add step `k`, for the features of stride 2 ** (k + 1): the published names count from 1."""
        layer = ConvNorm(channels, channels, 3, relu=True)
        self.add_module(f"adapter_{k}", ConvNorm(channels_in, channels, 1))
        if self.aligned:
            self.add_module(f"align_{k}", FeatureAlignment(channels, norm=layer.norm))
        self.add_module(f"layer_{k}", layer)

    def step(self, k: int, features: Tensor, coarser: Tensor, *, upsampling: str) -> Tensor:
        lateral = self.get_submodule(f"adapter_{k}")(features)
        merged = F.interpolate(coarser, lateral.shape[2:], mode=upsampling).add_(lateral)
        if self.aligned:
            merged = self.get_submodule(f"align_{k}")(lateral, merged)
        return self.get_submodule(f"layer_{k}")(merged)


class FeaturePyramid(TopDown):
    """Convolutions from coarse to fine: the decoder of MaskFormer, and of FaPN if `aligned`."""

    def __init__(self, channels: tuple[int, ...], *, hidden: int, aligned: bool) -> None:
        super().__init__(aligned=aligned)
        for k, channels_in in enumerate(channels[:-1], start=1):
            self.add_step(k, channels_in, hidden)
        self.layer_4 = ConvNorm(channels[-1], hidden, 3, relu=True)
        self.mask_features = nn.Conv2d(hidden, hidden, 3, padding=1)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """-> mask features (B, hidden, h_0, w_0), and the maps (B, hidden, h, w) at strides 32, 16 and 8."""
        maps = [self.layer_4(features[-1])]
        for k in (3, 2, 1):
            maps.append(self.step(k, features[k - 1], maps[-1], upsampling="nearest"))
        return self.mask_features(maps[-1]), maps[:-1]


class DeformablePyramid(TopDown):
    """A deformable encoder, then one step to stride 4: the decoder of Mask2Former, and of MSFaPN if `aligned`."""

    def __init__(self, channels: tuple[int, ...], spec: Mask2FormerHeadSpec, *, aligned: bool) -> None:
        super().__init__(aligned=aligned)
        hidden = spec.hidden
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels_in, hidden, 1), nn.GroupNorm(NORM_GROUPS, hidden))
            for channels_in in reversed(channels[1:])
        )
        self.transformer = DeformableEncoder(
            hidden, heads=spec.heads, layers=spec.encoder_layers, feedforward=spec.encoder_feedforward
        )
        self.mask_features = nn.Conv2d(hidden, hidden, 1)
        self.add_step(1, channels[0], hidden)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """-> mask features (B, hidden, h_0, w_0), and the maps (B, hidden, h, w) at strides 32, 16 and 8."""
        coarse = reversed(features[1:])
        maps = self.transformer([project(x) for project, x in zip(self.input_proj, coarse, strict=True)])
        merged = self.step(1, features[0], maps[-1], upsampling="bilinear")
        return self.mask_features(merged), maps
