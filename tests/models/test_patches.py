"""The two layers against timm's, for maps of any size."""

from __future__ import annotations

import pytest
import torch
from timm.layers import PatchEmbed as TimmPatchEmbed
from timm.models.swin_transformer import PatchMerging as TimmPatchMerging
from torch import nn

from semask_cli.models.patches import PatchEmbed, PatchMerging


@pytest.mark.parametrize("size", [(8, 12), (1, 1), (31, 42)])
def test_patch_embed_is_timms(size: tuple[int, int]) -> None:
    ours = PatchEmbed(16)
    timms = TimmPatchEmbed(
        None, 4, embed_dim=16, norm_layer=nn.LayerNorm, output_fmt="NHWC", strict_img_size=False, dynamic_img_pad=True
    )
    timms.load_state_dict(ours.state_dict())
    pixels = torch.randn(2, 3, *size)
    assert torch.equal(ours(pixels), timms(pixels))


@pytest.mark.parametrize("size", [(8, 12), (1, 1), (7, 10), (6, 5)])
def test_patch_merging_is_timms(size: tuple[int, int]) -> None:
    ours, timms = PatchMerging(8), TimmPatchMerging(8)
    timms.load_state_dict(ours.state_dict())
    tokens = torch.randn(2, *size, 8)
    assert torch.equal(ours(tokens), timms(tokens))
