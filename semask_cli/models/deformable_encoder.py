"""The deformable transformer encoder of Mask2Former's pixel decoder, over three feature levels.

Follows «Deformable DETR» (Zhu et al., arXiv 2010.04159; published code Apache-2.0) as used in «Mask2Former» (Cheng et
al., arXiv 2112.01527; published code MIT).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semask_cli.models.positions import sine_positions
from semask_cli.ops import ms_deform_attn
from semask_cli.ops.linear import Linear

LEVELS, POINTS = 3, 4


class DeformableAttention(nn.Module):
    """Multi-scale deformable attention with its projections. Tokens are (B, S, C), the levels concatenated."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.sampling_offsets = Linear(dim, heads * LEVELS * POINTS * 2)
        self.attention_weights = Linear(dim, heads * LEVELS * POINTS)
        self.value_proj = Linear(dim, dim)
        self.output_proj = Linear(dim, dim)

    def forward(self, query: Tensor, value: Tensor, sizes: list[int], reference: Tensor) -> Tensor:
        """`query` and `value` (B, S, C) -> (B, S, C); `sizes` and `reference` as in `ms_deform_attn`."""
        value = self.value_proj(value).unflatten(-1, (self.heads, -1))
        offsets = self.sampling_offsets(query).unflatten(-1, (self.heads, LEVELS, POINTS, 2))
        logits = self.attention_weights(query).unflatten(-1, (self.heads, LEVELS * POINTS))
        return self.output_proj(ms_deform_attn(value, sizes, reference, offsets, logits))


class EncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward network, each followed by a LayerNorm."""

    def __init__(self, dim: int, *, heads: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(dim, heads=heads)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = Linear(dim, feedforward, activation="relu")
        self.linear2 = Linear(feedforward, dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, position: Tensor, sizes: list[int], reference: Tensor) -> Tensor:
        x = self.norm1(x + self.self_attn(x + position, x, sizes, reference))
        return self.norm2(x + self.linear2(self.linear1(x)))


class EncoderStack(nn.Module):
    """The layers, one after the other."""

    def __init__(self, dim: int, *, heads: int, layers: int, feedforward: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, heads=heads, feedforward=feedforward) for _ in range(layers))

    def forward(self, x: Tensor, position: Tensor, sizes: list[int], reference: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, position, sizes, reference)
        return x


class DeformableEncoder(nn.Module):
    """Self-attention over the pixels of three feature maps."""

    def __init__(self, dim: int, *, heads: int, layers: int, feedforward: int) -> None:
        super().__init__()
        self.level_embed = nn.init.normal_(nn.Parameter(torch.empty(LEVELS, dim)))
        self.encoder = EncoderStack(dim, heads=heads, layers=layers, feedforward=feedforward)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """(B, C, h_i, w_i), coarse to fine -> the same shapes, channels last in memory."""
        shapes = [m.shape[2:] for m in maps]
        x = torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1)  # (B, S, C)
        device, dim = x.device, x.shape[2]
        position = torch.cat(
            [
                (sine_positions(h, w, dim, device) + level).flatten(0, 1)
                for (h, w), level in zip(shapes, self.level_embed, strict=True)
            ]
        )
        reference = torch.cat([pixel_centres(h, w, device) for h, w in shapes])
        sizes = [extent for shape in shapes for extent in shape]
        parts = self.encoder(x, position, sizes, reference).split([h * w for h, w in shapes], dim=1)
        return [part.unflatten(1, shape).permute(0, 3, 1, 2) for part, shape in zip(parts, shapes, strict=True)]


def pixel_centres(height: int, width: int, device: torch.device) -> Tensor:
    """float32 (height * width, 2): x and y of each pixel's centre, from 0 to 1."""
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
