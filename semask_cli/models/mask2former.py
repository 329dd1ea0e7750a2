"""Mask2Former under a SeMask backbone, with its own pixel decoder, FaPN's or both: the rows swin-l-m2f*.

Follows «Mask2Former» (Cheng et al., arXiv 2112.01527; published code MIT).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.models.backbone import SeMaskSwin
from semask_cli.models.mask_classification import MaskClassifier
from semask_cli.models.pixel_decoders import DeformablePyramid, FeaturePyramid
from semask_cli.models.positions import sine_positions
from semask_cli.models.transformer import MLP, Attention, cut_masks
from semask_cli.ops.linear import Linear
from semask_cli.zoo import ModelSpec

LEVELS = 3


class Mask2Former(MaskClassifier):
    """SeMask Swin under a Mask2Former head. The row's family names the pixel decoder: mask2former, fapn or msfapn."""

    def __init__(self, spec: ModelSpec) -> None:
        backbone = SeMaskSwin(spec.backbone)
        head = Mask2FormerHead(backbone.channels, family=spec.family, classes=spec.num_classes, **spec.head)
        super().__init__(backbone, head)


class Mask2FormerHead(nn.Module):
    """A pixel decoder makes three maps and the mask features; queries look at one map after the other."""

    def __init__(
        self,
        channels: tuple[int, ...],
        *,
        family: str,
        classes: int,
        hidden: int = 256,
        queries: int = 100,
        heads: int = 8,
        encoder_layers: int = 6,
        encoder_feedforward: int = 1024,
        decoder_layers: int = 9,
        decoder_feedforward: int = 2048,
    ) -> None:
        super().__init__()
        if family == "fapn":
            self.pixel_decoder: nn.Module = FeaturePyramid(channels, hidden=hidden, aligned=True)
        else:
            self.pixel_decoder = DeformablePyramid(
                channels,
                hidden=hidden,
                heads=heads,
                layers=encoder_layers,
                feedforward=encoder_feedforward,
                aligned=family == "msfapn",
            )
        self.predictor = MaskedQueryDecoder(
            classes=classes,
            dim=hidden,
            queries=queries,
            heads=heads,
            layers=decoder_layers,
            feedforward=decoder_feedforward,
        )

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        mask_features, maps = self.pixel_decoder(features)
        return self.predictor(maps, mask_features)


class CrossAttentionLayer(nn.Module):
    """The queries look at the memory, each at what its mask shows, then a LayerNorm."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.multihead_attn = Attention(dim, heads=heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, query_position: Tensor, memory_keys: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        return self.norm(x + self.multihead_attn(x + query_position, memory_keys, memory, mask))


class SelfAttentionLayer(nn.Module):
    """The queries look at each other, then a LayerNorm."""

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
    """Learned queries that look only at where their own mask, as far as it is known, shows something."""

    def __init__(self, *, classes: int, dim: int, queries: int, heads: int, layers: int, feedforward: int) -> None:
        super().__init__()
        self.transformer_cross_attention_layers = nn.ModuleList(
            CrossAttentionLayer(dim, heads=heads) for _ in range(layers)
        )
        self.transformer_self_attention_layers = nn.ModuleList(
            SelfAttentionLayer(dim, heads=heads) for _ in range(layers)
        )
        self.transformer_ffn_layers = nn.ModuleList(
            FeedForwardLayer(dim, feedforward=feedforward) for _ in range(layers)
        )
        self.decoder_norm = nn.LayerNorm(dim)
        self.query_feat = nn.Embedding(queries, dim)
        self.query_embed = nn.Embedding(queries, dim)
        self.level_embed = nn.Embedding(LEVELS, dim)
        self.class_embed = Linear(dim, classes + 1)
        self.mask_embed = MLP(dim, layers=3)

    def forward(self, maps: list[Tensor], mask_features: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (B, Q, classes + 1) and mask logits (B, Q, H, W).

        `maps` (B, dim, h, w) are at strides 32, 16 and 8, `mask_features` (B, dim, H, W) at stride 4.
        """
        memories, keys, shrunk = [], [], []
        for level_embedding, features in zip(self.level_embed.weight, maps, strict=True):
            height, width = features.shape[2:]
            memory = features.flatten(2).transpose(1, 2) + level_embedding  # (B, h * w, dim)
            position = sine_positions(height, width, memory.shape[2], memory.device)
            memories.append(memory)
            keys.append(memory + position.flatten(0, 1))
            shrunk.append(F.interpolate(mask_features, (height, width), mode="bilinear"))

        query_position = self.query_embed.weight
        x = self.query_feat.weight.expand(len(mask_features), -1, -1)
        layers = zip(
            self.transformer_cross_attention_layers,
            self.transformer_self_attention_layers,
            self.transformer_ffn_layers,
            strict=True,
        )
        for i, (look, exchange, feed) in enumerate(layers):
            level = i % LEVELS
            # Published code resizes the mask logits. Both are linear, one along pixels and one along channels, so their
            # order does not matter, and the features are resized once for all layers.
            seen = visible(self.masks(x, shrunk[level]))
            x = look(x, query_position, keys[level], memories[level], seen)
            x = feed(exchange(x, query_position))
        return self.class_embed(self.decoder_norm(x)), self.masks(x, mask_features)

    def masks(self, x: Tensor, features: Tensor) -> Tensor:
        """Mask logits (B, Q, h, w) of queries (B, Q, dim) over mask features (B, dim, h, w)."""
        return cut_masks(self.mask_embed(self.decoder_norm(x)), features)


def visible(mask_logits: Tensor) -> Tensor:
    """Where queries look, given their mask logits (B, Q, h, w): bool (B, 1, Q, h * w)."""
    seen = mask_logits.flatten(2) >= 0  # a sigmoid of at least one half
    # A query that sees nothing sees everything.
    return (seen | ~seen.any(-1, keepdim=True))[:, None]
