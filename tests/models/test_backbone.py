"""What inference has cached at a size is no obstacle to training at that size in the same process."""

from __future__ import annotations

import torch

from semask_cli.models.build import build_model
from semask_cli.zoo import load_zoo


def test_a_backbone_learns_after_inference() -> None:
    backbone = build_model(load_zoo().find("toy-street-fpn")).backbone
    pixels = torch.randn(1, 3, 72, 104)  # no other test's size, and no whole number of windows
    with torch.inference_mode():
        backbone(pixels)
    features, semantic_maps = backbone(pixels)
    sum(t.square().mean() for t in (*features, *semantic_maps)).backward()
    assert all(p.grad is not None for p in backbone.patch_embed.parameters())
