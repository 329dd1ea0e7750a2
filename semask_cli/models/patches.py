"""Patch embedding and patch merging.

Follows «Swin Transformer» (Liu et al., arXiv 2103.14030; published code MIT), with its parameter names. Equal to timm's
layers of the same names, whose import takes seconds.
"""

from __future__ import annotations

from torch import Tensor, nn

from semask_cli.models.padding import zero_pad


class PatchEmbed(nn.Module):
    """Patches of 4 x 4 pixels, each a token. Pixels are zero-padded right and bottom to whole patches."""

    SIZE = 4

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, self.SIZE, self.SIZE)
        self.norm = nn.LayerNorm(dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, ceil(H / 4), ceil(W / 4), dim)."""
        right, bottom = -pixels.shape[3] % self.SIZE, -pixels.shape[2] % self.SIZE
        return self.norm(self.proj(zero_pad(pixels, (0, right, 0, bottom))).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Merges 2 x 2 tokens into one of twice the channels. The map is zero-padded right and bottom to an even size."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, ceil(H / 2), ceil(W / 2), 2 * C)."""
        _, height, width, _ = x.shape
        x = zero_pad(x, (0, 0, 0, width % 2, 0, height % 2))
        # (B, H, W, C) -> (B, H / 2, 2, W / 2, 2, C) -> (B, H / 2, W / 2, 4 * C): columns of a patch before its rows
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).permute(0, 1, 3, 4, 2, 5).flatten(3)
        return self.reduction(self.norm(x))
