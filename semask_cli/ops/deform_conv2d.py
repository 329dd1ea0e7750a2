"""Modulated deformable 3x3 convolution: every tap of every group samples at its own offset.

Follows «Deformable ConvNets v2» (Zhu et al., arXiv 1811.11168), in the layout of torchvision.ops.deform_conv2d
(published code BSD-3-Clause), with the sigmoid of the mask inside the operator.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from semask_cli.ops import standard_operators
from semask_cli.ops.bilinear_bags import bilinear_bags
from semask_cli.ops.registry import define_operator

PIXELS_PER_BATCH = 1024  # on a CPU: their columns of 9 * C values fit the cache
COLUMNS_PER_BATCH = 1 << 26  # numbers, on other devices: 256 MiB


def deform_conv2d(x: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """3x3 convolution of stride 1 and padding 1 whose taps are displaced and weighted. No gradient.

    Tap t = 3 * i + j of group g at pixel (y, x) reads (y - 1 + i + dy, x - 1 + j + dx) bilinearly, zero outside.

    Args:
        x: (B, C, h, w), float32, float64 or a half type. Group g owns C / groups channels.
        offset_mask: (B, 27 * groups, h, w), any floating dtype: dy in channel 18 * g + 2 * t and dx in the next, in
            pixels; the mask, before its sigmoid, in channel 18 * groups + 9 * g + t.
        weight: (C_out, C, 3, 3) of x's dtype.
        bias: (C_out,) of x's dtype.
        groups: deformable groups; the convolution itself is not grouped.

    Returns:
        (B, C_out, h, w) of x's dtype, channels last in memory. Locations, weights and sums are float32 (float64 for
        float64). A tap at a NaN location counts zero.
    """
    if torch.compiler.is_exporting():  # exported graphs run without semask
        return standard_operators.deform_conv2d(x, offset_mask, weight, bias, groups)
    convolved: Tensor = _deform_conv2d(x, offset_mask, weight, bias, groups)
    return convolved


def _fake(x: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    batch, _, height, width = x.shape
    return x.new_empty(batch, height, width, weight.shape[0]).permute(0, 3, 1, 2)


def reference_deform_conv2d(x: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """`deform_conv2d` in plain torch: columns of sampled taps, multiplied by the weights, in batches of pixels."""
    batch, channels, height, width = x.shape
    dtype = torch.promote_types(x.dtype, torch.float32)
    # (B, C, h, w) -> (B, rows of the zero-bordered maps, C / groups)
    table = F.pad(x.permute(0, 2, 3, 1).to(dtype), (0, 0, 1, 1, 1, 1)).reshape(batch, -1, channels // groups)
    # (C_out, groups, C / groups, 9) -> (groups * 9 * C / groups, C_out)
    kernel = weight.to(dtype).view(-1, groups, channels // groups, 9).permute(1, 3, 2, 0).flatten(0, 2)
    offset_mask = offset_mask.permute(0, 2, 3, 1).reshape(batch, height * width, -1)

    tap = torch.arange(9, device=x.device).repeat(groups)
    tap_y, tap_x = (tap // 3 - 1).to(dtype), (tap % 3 - 1).to(dtype)  # (groups * 9,)
    group = torch.arange(groups, dtype=torch.int32, device=x.device).repeat_interleave(9)

    out = table.new_empty(batch, height * width, weight.shape[0])
    pixels = PIXELS_PER_BATCH if x.device.type == "cpu" else max(1, COLUMNS_PER_BATCH // (9 * channels))
    for image, maps in enumerate(table):
        for start in range(0, height * width, pixels):
            part = slice(start, min(start + pixels, height * width))
            pixel = torch.arange(part.start, part.stop, device=x.device)[:, None]
            raw = offset_mask[image, part].to(dtype)
            dy, dx = raw[:, : 18 * groups].unflatten(1, (-1, 2)).unbind(-1)
            rows, shares = bilinear_bags(
                pixel % width + tap_x + dx,
                pixel // width + tap_y + dy,
                raw[:, 18 * groups :].sigmoid(),
                width=tap_x.new_tensor(width),
                height=tap_y.new_tensor(height),
                first=(width + 3) * groups + group,
                step=groups,
            )
            columns = F.embedding_bag(rows.view(-1, 4), maps, mode="sum", per_sample_weights=shares.view(-1, 4))
            torch.mm(columns.view(len(raw), -1), kernel, out=out[image, part])
    if bias is not None:
        out += bias.to(dtype)
    return out.to(x.dtype).view(batch, height, width, -1).permute(0, 3, 1, 2)


_deform_conv2d = define_operator(
    "deform_conv2d(Tensor x, Tensor offset_mask, Tensor weight, Tensor? bias, int groups) -> Tensor",
    reference=reference_deform_conv2d,
    fake=_fake,
)
