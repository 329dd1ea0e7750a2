"""MaskFormer under a SeMask backbone: the row swin-l-mf.

Follows «MaskFormer» (Cheng et al., arXiv 2107.06278; published code CC BY-NC 4.0), whose transformer decoder is that of
«DETR» (Carion et al., arXiv 2005.12872; published code Apache-2.0).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semask_cli.models.backbone import SeMaskSwin
from semask_cli.models.mask_classification import MaskClassifier
from semask_cli.models.pixel_decoders import FeaturePyramid
from semask_cli.models.positions import sine_positions
from semask_cli.models.transformer import MLP, Attention, mask_logits
from semask_cli.ops.linear import Linear
from semask_cli.zoo import ModelSpec
from semask_cli.zoo_values import MaskFormerHeadSpec


class MaskFormer(MaskClassifier):
    """SeMask Swin under a MaskFormer head."""

    def __init__(self, spec: ModelSpec) -> None:
        backbone = SeMaskSwin(spec.backbone)
        head = MaskFormerHead(backbone.channels, MaskFormerHeadSpec(**spec.head), classes=spec.num_classes)
        super().__init__(backbone, head, size_divisor=spec.size_divisor)


class MaskFormerHead(nn.Module):
    """Convolutions compute the mask features; the transformer's queries attend to the backbone's last feature."""

    def __init__(self, channels: tuple[int, ...], spec: MaskFormerHeadSpec, *, classes: int) -> None:
        super().__init__()
        self.pixel_decoder = FeaturePyramid(channels, hidden=spec.hidden, aligned=False)
        self.predictor = QueryDecoder(channels[-1], spec, classes=classes)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Backbone features (B, C_i, h_i, w_i) -> class logits (B, Q, classes + 1) and mask logits (B, Q, H, W)."""
        mask_features, _ = self.pixel_decoder(features)
        return self.predictor(features[-1], mask_features)


class DecoderLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the feature map, feed-forward; a LayerNorm after each."""

    def __init__(self, dim: int, *, heads: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads=heads)
        self.multihead_attn = Attention(dim, heads=heads)
        self.linear1 = Linear(dim, feedforward, activation="relu")
        self.linear2 = Linear(feedforward, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, query_position: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query = x + query_position
        x = self.norm1(x + self.self_attn(query, query, x))
        x = self.norm2(x + self.multihead_attn(x + query_position, key, value))
        return self.norm3(x + self.linear2(self.linear1(x)))


class DecoderStack(nn.Module):
    """The layers, one after the other, and a last LayerNorm."""

    def __init__(self, dim: int, *, heads: int, layers: int, feedforward: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, heads=heads, feedforward=feedforward) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, query_position: Tensor, key: Tensor, value: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, query_position, key, value)
        return self.norm(x)


class QueryDecoder(nn.Module):
    """Learned queries that attend to a feature map and become masks and their classes."""

    def __init__(self, channels_in: int, spec: MaskFormerHeadSpec, *, classes: int) -> None:
        super().__init__()
        dim = spec.hidden
        decoder = DecoderStack(dim, heads=spec.heads, layers=spec.layers, feedforward=spec.feedforward)
        self.transformer = nn.ModuleDict({"decoder": decoder})
        self.query_embed = nn.Embedding(spec.queries, dim)
        self.input_proj = nn.Conv2d(channels_in, dim, 1)
        self.class_embed = Linear(dim, classes + 1)
        self.mask_embed = MLP(dim)

    def forward(self, features: Tensor, mask_features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) and (B, dim, H, W) -> class logits (B, Q, classes + 1) and mask logits (B, Q, H, W)."""
        height, width = features.shape[2:]
        value = self.input_proj(features).flatten(2).transpose(1, 2)  # (B, dim, h, w) -> (B, h * w, dim)
        key = value + sine_positions(height, width, value.shape[2], value.device).flatten(0, 1)
        query_position = self.query_embed.weight
        x = torch.zeros_like(query_position).expand(len(features), -1, -1)
        x = self.transformer["decoder"](x, query_position, key, value)
        return self.class_embed(x), mask_logits(self.mask_embed(x), mask_features)
