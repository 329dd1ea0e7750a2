"""Mask2Former under a SeMask backbone: the rows swin-l-m2f*, whose pixel decoder is Mask2Former's, FaPN's or both.

Follows «Mask2Former» (Cheng et al., arXiv 2112.01527; published code MIT).
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.models.backbone import SeMaskSwin
from semask_cli.models.mask_classification import MaskClassifier
from semask_cli.models.pixel_decoders import DeformablePyramid, FeaturePyramid
from semask_cli.models.positions import sine_positions
from semask_cli.models.transformer import MLP, Attention, mask_logits
from semask_cli.ops.linear import Linear
from semask_cli.zoo import ModelSpec
from semask_cli.zoo_values import Mask2FormerHeadSpec

LEVELS = 3


class Mask2Former(MaskClassifier):
    """SeMask Swin under a Mask2Former head. The row names the pixel decoder."""

    def __init__(self, spec: ModelSpec) -> None:
        backbone = SeMaskSwin(spec.backbone)
        head = Mask2FormerHead(
            backbone.channels,
            Mask2FormerHeadSpec(**spec.head),
            pixel_decoder=spec.pixel_decoder,
            classes=spec.num_classes,
        )
        super().__init__(backbone, head, size_divisor=spec.size_divisor)


class Mask2FormerHead(nn.Module):
    """A pixel decoder computes three feature maps and the mask features; queries attend to one map after the other.

    `pixel_decoder` is "msdeform" (Mask2Former's), "fapn" (FaPN's) or "msfapn" (both).
    """

    def __init__(
        self, channels: tuple[int, ...], spec: Mask2FormerHeadSpec, *, pixel_decoder: str, classes: int
    ) -> None:
        super().__init__()
        pixel_decoders: dict[str, Callable[[], nn.Module]] = {
            "fapn": lambda: FeaturePyramid(channels, hidden=spec.hidden, aligned=True),
            "msdeform": lambda: DeformablePyramid(channels, spec, aligned=False),
            "msfapn": lambda: DeformablePyramid(channels, spec, aligned=True),
        }
        self.pixel_decoder = pixel_decoders[pixel_decoder]()
        self.predictor = MaskedQueryDecoder(spec, classes=classes)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Backbone features (B, C_i, h_i, w_i) -> class logits (B, Q, classes + 1) and mask logits (B, Q, H, W)."""
        mask_features, maps = self.pixel_decoder(features)
        return self.predictor(maps, mask_features)


class CrossAttentionLayer(nn.Module):
    """Masked cross-attention of the queries to the pixels of a feature map, then a LayerNorm."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.multihead_attn = Attention(dim, heads=heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, query_position: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor) -> Tensor:
        return self.norm(x + self.multihead_attn(x + query_position, key, value, attention_mask))


class SelfAttentionLayer(nn.Module):
    """Self-attention of the queries, then a LayerNorm."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads=heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, query_position: Tensor) -> Tensor:
        query = x + query_position
        return self.norm(x + self.self_attn(query, query, x))


class FeedForwardLayer(nn.Module):
    """Two linear layers around a ReLU, then a LayerNorm."""

    def __init__(self, dim: int, *, feedforward: int) -> None:
        super().__init__()
        self.linear1 = Linear(dim, feedforward, activation="relu")
        self.linear2 = Linear(feedforward, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.linear2(self.linear1(x)))


class MaskedQueryDecoder(nn.Module):
    """Learned queries with masked attention: each attends only to the pixels inside its current mask."""

    def __init__(self, spec: Mask2FormerHeadSpec, *, classes: int) -> None:
        super().__init__()
        dim, layers = spec.hidden, range(spec.decoder_layers)
        self.transformer_cross_attention_layers = nn.ModuleList(
            CrossAttentionLayer(dim, heads=spec.heads) for _ in layers
        )
        self.transformer_self_attention_layers = nn.ModuleList(
            SelfAttentionLayer(dim, heads=spec.heads) for _ in layers
        )
        self.transformer_ffn_layers = nn.ModuleList(
            FeedForwardLayer(dim, feedforward=spec.decoder_feedforward) for _ in layers
        )
        self.decoder_norm = nn.LayerNorm(dim)
        self.query_feat = nn.Embedding(spec.queries, dim)
        self.query_embed = nn.Embedding(spec.queries, dim)
        self.level_embed = nn.Embedding(LEVELS, dim)
        self.class_embed = Linear(dim, classes + 1)
        self.mask_embed = MLP(dim)

    def forward(self, maps: list[Tensor], mask_features: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (B, Q, classes + 1) and mask logits (B, Q, H, W).

        `maps` (B, dim, h, w) are at strides 32, 16 and 8, `mask_features` (B, dim, H, W) at stride 4.
        """
        values, keys, level_mask_features = [], [], []
        for level_embedding, features in zip(self.level_embed.weight, maps, strict=True):
            height, width = features.shape[2:]
            value = features.flatten(2).transpose(1, 2) + level_embedding  # (B, dim, h, w) -> (B, h * w, dim)
            position = sine_positions(height, width, value.shape[2], value.device)
            values.append(value)
            keys.append(value + position.flatten(0, 1))
            # Published code resizes the mask logits. Resize and dot product are linear along pixels and channels, so
            # their order does not matter: the features are resized once for all layers.
            level_mask_features.append(F.interpolate(mask_features, (height, width), mode="bilinear"))

        query_position = self.query_embed.weight
        x = self.query_feat.weight.expand(len(mask_features), -1, -1)
        layers = zip(
            self.transformer_cross_attention_layers,
            self.transformer_self_attention_layers,
            self.transformer_ffn_layers,
            strict=True,
        )
        for i, (cross_attention, self_attention, ffn) in enumerate(layers):
            level = i % LEVELS
            attention_mask = mask_to_attention_mask(self.predict_masks(x, level_mask_features[level]))
            x = cross_attention(x, query_position, keys[level], values[level], attention_mask)
            x = self_attention(x, query_position)
            x = ffn(x)
        return self.class_embed(self.decoder_norm(x)), self.predict_masks(x, mask_features)

    def predict_masks(self, x: Tensor, features: Tensor) -> Tensor:
        """Mask logits (B, Q, h, w) of queries (B, Q, dim) over mask features (B, dim, h, w)."""
        return mask_logits(self.mask_embed(self.decoder_norm(x)), features)


def mask_to_attention_mask(mask_logits: Tensor) -> Tensor:
    """Mask logits (B, Q, h, w) -> bool (B, 1, Q, h * w), True where a query attends; with an empty mask, everywhere."""
    inside = mask_logits.flatten(2) >= 0  # a sigmoid of at least one half
    return (inside | ~inside.any(-1, keepdim=True))[:, None]
