"""What semask is compared with: the usual ways to write the operators, and transformers' Mask2Former."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_int, c_void_p
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.ops import launcher
from semask_cli.ops.nvrtc import Kernel
from semask_cli.ops.storage import STORAGE

THREADS = 256


def locations_and_weights(
    level_sizes: Sequence[int], reference: Tensor, offsets: Tensor, logits: Tensor
) -> tuple[Tensor, Tensor]:
    """What the usual formulations take, float32: locations from 0 to 1 in the shape of the offsets, and weights."""
    sizes = _widths_and_heights(tuple(level_sizes), offsets.device)
    locations = reference[:, None, None, None] + offsets.float() / sizes[:, None]
    return locations, logits.float().softmax(-1).view(offsets.shape[:-1])


@cache
def _widths_and_heights(level_sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """(levels, 2) float32. Kept: a CUDA graph cannot capture the copy to the device."""
    return torch.tensor(level_sizes, dtype=torch.float32, device=device).view(-1, 2).flip(1)


def attention_by_grid_sample(
    value: Tensor, level_sizes: Sequence[int], reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """One grid_sample for each level, as Deformable DETR's and transformers' code without a kernel."""
    locations, weights = locations_and_weights(level_sizes, reference, offsets, logits)
    batch, _, heads, channels = value.shape
    grids = (2 * locations - 1).to(value.dtype).transpose(1, 2).flatten(0, 1)  # (B * heads, Q, levels, points, 2)
    sizes = list(zip(level_sizes[::2], level_sizes[1::2], strict=True))
    sampled = []
    for level, (part, (h, w)) in enumerate(zip(value.split([h * w for h, w in sizes], 1), sizes, strict=True)):
        # (B, h * w, heads, D) -> (B * heads, D, h, w)
        maps = part.permute(0, 2, 3, 1).reshape(batch * heads, channels, h, w)
        sampled.append(F.grid_sample(maps, grids[:, :, level], align_corners=False))
    weights = weights.to(value.dtype).transpose(1, 2).flatten(0, 1).flatten(2)[:, None]  # (B * heads, 1, Q, samples)
    attended = (torch.cat(sampled, dim=-1) * weights).sum(-1)
    return attended.view(batch, heads * channels, -1).transpose(1, 2).contiguous()


def attention_by_thread_per_channel(
    value: Tensor, level_sizes: Sequence[int], locations: Tensor, weights: Tensor
) -> Tensor:
    """benchmarks/gpu/one_thread_per_channel.cu."""
    _, tokens, heads, channels = value.shape
    batch, queries, _, levels, points, _ = locations.shape
    sizes = {"LEVELS": levels, "POINTS": points, "HEADS": heads, "CHANNELS": channels}
    kernel = Kernel("one_thread_per_channel", (("VALUE", STORAGE[value.dtype]), *sizes.items()), "benchmarks/gpu")

    class Arguments(ctypes.Structure):
        _fields_ = (
            *((name, c_void_p) for name in ("value", "locations", "weights", "output")),
            *((name, c_int) for name in ("tokens", "queries", "count")),
            *((name, c_int * levels) for name in ("start", "height", "width")),
        )

    output = value.new_empty(batch, queries, heads * channels)
    pointers = (t.data_ptr() for t in (value, locations, weights, output))
    arguments = Arguments(*pointers, tokens, queries, output.numel())
    arguments.height[:], arguments.width[:] = level_sizes[::2], level_sizes[1::2]
    start = 0
    for level in range(levels):
        arguments.start[level] = start
        start += arguments.height[level] * arguments.width[level]
    grid = (-(-output.numel() // THREADS), 1, 1)
    launcher.launch(kernel, value.device, grid=grid, threads=THREADS, arguments=arguments)
    return output


def convolution_by_torchvision(x: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """torchvision's compiled deform_conv2d."""
    from torchvision.ops import deform_conv2d

    offset, mask = offset_mask.split([18 * groups, 9 * groups], dim=1)
    return deform_conv2d(x, offset, weight, bias, padding=1, mask=mask.sigmoid())


def enlarged(maps: Tensor, heights: Sequence[int], widths: Sequence[int]) -> Tensor:
    """(C, h, w) -> (C, heights[-1], widths[-1]), one bilinear resize after the other."""
    maps = maps[None]
    for size in zip(heights[1:], widths[1:], strict=True):
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    return maps[0]


def transformers_mask2former() -> nn.Module:
    """Mask2Former with Swin-L, 100 queries and 150 classes, random weights.

    Raises:
        ImportError: transformers is not installed.
    """
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    backbone = SwinConfig(
        image_size=384,
        embed_dim=192,
        depths=[2, 2, 18, 2],
        num_heads=[6, 12, 24, 48],
        window_size=12,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(backbone_config=backbone, num_labels=150, num_queries=100)
    return Mask2FormerForUniversalSegmentation(config).eval()
