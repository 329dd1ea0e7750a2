"""The deformable operators for exported graphs, by F.grid_sample and products, which every engine has.

Equal to the reference formulations (see there for sources), with more memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def ms_deform_attn(
    value: Tensor, level_sizes: Sequence[int], reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """As `ops.ms_deform_attn`: (B, S, heads, D) -> (B, Q, heads * D)."""
    batch, _, heads, channels = value.shape
    _, queries, _, levels, points, _ = offsets.shape
    weights = logits.softmax(-1).view(batch, queries, heads, levels, points)
    sizes = list(zip(level_sizes[::2], level_sizes[1::2], strict=True))
    attended = None
    for level, ((h, w), pixels) in enumerate(zip(sizes, value.split([h * w for h, w in sizes], 1), strict=True)):
        maps = pixels.permute(0, 2, 3, 1).reshape(batch * heads, channels, h, w)
        # Locations from 0 to 1 -> -1 to 1: (B, Q, heads, points, 2) -> (B * heads, Q, points, 2)
        x, y = (offsets[:, :, :, level, :, axis] / extent for axis, extent in enumerate((w, h)))
        grid = 2 * (reference[:, None, None] + torch.stack([x, y], -1)) - 1
        grid = grid.transpose(1, 2).reshape(batch * heads, queries, points, 2)
        samples = F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        weight = weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, 1, queries, points)
        weighted = (samples * weight).sum(-1)  # (B * heads, D, Q)
        attended = weighted if attended is None else attended + weighted
    assert attended is not None
    return attended.view(batch, heads * channels, queries).transpose(1, 2)


def deform_conv2d(x: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """As `ops.deform_conv2d`: (B, C, h, w) -> (B, C_out, h, w)."""
    batch, channels, height, width = x.shape
    # Convolutions may return channels-last tensors where the trace expects contiguous ones; views would then fail.
    x, offset_mask = (values.clone(memory_format=torch.contiguous_format) for values in (x, offset_mask))
    offsets = offset_mask[:, : 18 * groups].reshape(batch * groups, 9, 2, height, width)
    mask = offset_mask[:, 18 * groups :].sigmoid().reshape(batch * groups, 1, 9 * height, width)
    tap = torch.arange(9)
    y = torch.arange(height)[:, None] + (tap // 3 - 1)[:, None, None] + offsets[:, :, 0]  # (B * groups, 9, h, w)
    x_ = torch.arange(width) + (tap % 3 - 1)[:, None, None] + offsets[:, :, 1]
    grid = torch.stack([(2 * x_ + 1) / width - 1, (2 * y + 1) / height - 1], -1).flatten(1, 2)
    maps = x.reshape(batch * groups, channels // groups, height, width)
    samples = F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False) * mask
    # (B * groups, C / groups, 9 * h, w) -> (B, C * 9, h * w)
    columns = samples.clone(memory_format=torch.contiguous_format).view(batch, channels * 9, height * width)
    convolved = (weight.flatten(1) @ columns).view(batch, -1, height, width)
    return convolved if bias is None else convolved + bias[:, None, None]
