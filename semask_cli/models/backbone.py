"""SeMask Swin: a Swin transformer with a semantic layer after the blocks of each stage.

Follows «SeMask» (Jain et al., arXiv 2112.12782; published code Apache-2.0) and «Swin Transformer» (Liu et al.,
arXiv 2103.14030; published code MIT).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from semask_cli.models.patches import PatchEmbed, PatchMerging
from semask_cli.models.semantic_attention import SemanticAttention
from semask_cli.models.window_attention import WindowAttention
from semask_cli.ops.layer_norm import add_layer_norm
from semask_cli.ops.linear import Linear
from semask_cli.zoo import BackboneSpec


class Mlp(nn.Module):
    """Two linear layers around a GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(dim, hidden, activation="gelu")
        self.fc2 = Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x))


class SwinBlock(nn.Module):
    """Window attention and an MLP, each after a LayerNorm and around a residual. Tokens (B, H, W, C).

    A branch is added to its residual together with the next norm, which may be in the next block.
    """

    def __init__(self, dim: int, *, window: int, shift: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, window=window, shift=shift, heads=heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor, branch: Tensor | None) -> tuple[Tensor, Tensor]:
        """Residual and branch of the previous block -> those of this one, (B, H, W, C) each."""
        x, normed = add_layer_norm(x, branch, self.norm1)
        # The padding to whole windows comes after the norm: padded tokens are zero, and are attended to.
        x, normed = add_layer_norm(x, self.attn(normed), self.norm2)
        return x, self.mlp(normed)


class SemanticLayer(nn.Module):
    """LayerNorm, then semantic attention whose residual is the normalised input."""

    def __init__(self, dim: int, *, classes: int, window: int, global_: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        attention = SemanticAttention(dim, classes=classes, window=window, global_=global_)
        self.class_injection = nn.ModuleList([attention])  # a list of one in the published files

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.class_injection[0](self.norm1(x))


class Stage(nn.Module):
    """Swin blocks, alternately plain and shifted, the semantic layer, and the patch merging for the next stage."""

    def __init__(self, spec: BackboneSpec, index: int) -> None:
        super().__init__()
        dim = spec.embed_dim * 2**index
        self.blocks = nn.ModuleList(
            SwinBlock(dim, window=spec.window, shift=spec.window // 2 * (i % 2), heads=spec.heads[index])
            for i in range(spec.depths[index])
        )
        self.semantic_layer = SemanticLayer(
            dim, classes=spec.semantic_classes, window=spec.semantic_window, global_=index in spec.global_stages
        )
        self.downsample = PatchMerging(dim) if index + 1 < len(spec.depths) else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) -> the output of the semantic layer (B, H, W, C), and its semantic map (B, H, W, classes)."""
        branch = None
        for block in self.blocks:
            x, branch = block(x, branch)
        return self.semantic_layer(x if branch is None else x + branch)


class SeMaskSwin(nn.Module):
    """The backbone of every row of the zoo."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.channels = tuple(spec.embed_dim * 2**i for i in range(len(spec.depths)))
        self.patch_embed = PatchEmbed(spec.embed_dim)
        self.layers = nn.ModuleList(Stage(spec, i) for i in range(len(spec.depths)))
        # norm0 … norm3 in the published files
        for i, dim in enumerate(self.channels):
            self.add_module(f"norm{i}", nn.LayerNorm(dim))

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Features and semantic maps of the four stages, at strides 4 to 32.

        `pixels` (B, 3, H, W) are normalised, of any size, and zero-padded right and bottom to whole patches. Features
        are (B, C, h, w) with channels last in memory, the semantic maps (B, classes, h, w) before any softmax.
        """
        x = self.patch_embed(pixels)
        features, semantic_maps = [], []
        norms = (self.get_submodule(f"norm{i}") for i in range(len(self.layers)))
        for stage, norm in zip(cast("Iterable[Stage]", self.layers), norms, strict=True):
            x, semantic_map = stage(x)
            features.append(norm(x).permute(0, 3, 1, 2))
            semantic_maps.append(semantic_map.permute(0, 3, 1, 2))
            x = stage.downsample(x)
        return features, semantic_maps
