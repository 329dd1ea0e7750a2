"""The deformable operators on CUDA devices, by kernels/*.cu.

Shapes and dtypes are those of ms_deform_attn.py and deform_conv2d.py. The reference formulations run instead if the
kernels are switched off, cannot be built, or do not support the dtype or the channels.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_int, c_longlong, c_void_p
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor

from semask_cli.ops import launcher
from semask_cli.ops.deform_conv2d import reference_deform_conv2d
from semask_cli.ops.ms_deform_attn import reference_ms_deform_attn
from semask_cli.ops.nvrtc import Kernel
from semask_cli.ops.registry import cuda_kernel
from semask_cli.ops.storage import MAX_GRID, STORAGE, dense

BLOCK_THREADS = 512
COLUMN_BYTES = 32 << 20  # of sampled columns per matrix product, which fit the L2 cache of large devices


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """A kernel whose blocks process tiles of `tile_height` x `tile_width` pixels or queries, 16 bytes per thread."""

    kernel: Kernel
    tile_height: int
    tile_width: int
    threads: int

    def tiles(self, height: int, width: int) -> int:
        """The number of tiles that cover a map."""
        return -(-height // self.tile_height) * -(-width // self.tile_width)


@cache
def plan_sampling(
    name: str, value: torch.dtype, offset: torch.dtype, groups: int, channels: int, **constants: int
) -> SamplingPlan | None:
    """The kernel for `groups` (or heads) of `channels` of dtype `value`; None if unsupported.

    The sides of a tile are powers of two, the width once or twice the height.
    """
    if value not in STORAGE or offset not in STORAGE:
        return None
    lanes, rest = divmod(channels * value.itemsize, 16)
    if rest or lanes not in (1, 2, 4, 8, 16, 32) or groups * lanes > BLOCK_THREADS:
        return None
    log2 = (BLOCK_THREADS // (groups * lanes)).bit_length() - 1
    height, width = 1 << log2 // 2, 1 << (log2 + 1) // 2
    constants |= {"CHANNELS": channels, "TILE_HEIGHT": height, "TILE_WIDTH": width}
    types = {"VALUE": STORAGE[value], "OFFSET": STORAGE[offset]}
    return SamplingPlan(
        Kernel(name, (*types.items(), *constants.items())), height, width, height * width * groups * lanes
    )


@cuda_kernel("ms_deform_attn")
def cuda_ms_deform_attn(
    value: Tensor, level_sizes: Sequence[int], reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """`semask::ms_deform_attn` by kernels/ms_deform_attn.cu.

    Raises:
        ValueError: the tensors do not fit together, or are too large for the kernel.
    """
    sizes = list(zip(level_sizes[::2], level_sizes[1::2], strict=True))
    batch, tokens, heads, channels = value.shape
    _, queries, _, levels, points, _ = offsets.shape
    _check("reference", reference, (queries, 2), value)
    _check("offsets", offsets, (batch, queries, heads, len(sizes), points, 2), value)
    _check("logits", logits, (batch, queries, heads, levels * points), value)
    starts = list(accumulate((h * w for h, w in sizes), initial=0))
    if starts[-1] != tokens:
        raise ValueError(f"levels of {sizes} hold {starts[-1]} pixels, value has {tokens}")

    raw = torch.promote_types(offsets.dtype, logits.dtype)
    tiled = queries == tokens  # as in an encoder, where the queries are the pixels of the levels
    plan = plan_sampling(
        "ms_deform_attn", value.dtype, raw, heads, channels, HEADS=heads, LEVELS=levels, POINTS=points, TILED=int(tiled)
    )
    if plan is None or tokens == 0 or not launcher.available(plan.kernel, value.device):
        return reference_ms_deform_attn(value, level_sizes, reference, offsets, logits)
    if tokens * heads * channels * value.itemsize >= 1 << 32 or batch > MAX_GRID:
        raise ValueError(f"value of shape {tuple(value.shape)} is too large: 4 GiB an image, {MAX_GRID} images")

    value, reference, offsets, logits = map(dense, (value, reference.float(), offsets.to(raw), logits.to(raw)))
    output = value.new_empty(batch, queries, heads * channels)
    arguments = _attention_arguments(levels)(
        *(t.data_ptr() for t in (value, reference, offsets, logits, output)), tokens, queries
    )
    for level, (start, (h, w)) in enumerate(zip(starts, sizes, strict=False)):
        # The kernel reads one token of an empty level with weight zero; it must exist.
        arguments.start[level] = min(start, tokens - 1)
        arguments.height[level], arguments.width[level] = (h, w) if h * w else (0, 0)
    tiles = [plan.tiles(h, w) for h, w in sizes] if tiled else [-(-queries // (plan.tile_height * plan.tile_width))]
    if output.numel():
        launcher.launch(
            plan.kernel, value.device, grid=(sum(tiles), batch, 1), threads=plan.threads, arguments=arguments
        )
    return output


@cuda_kernel("deform_conv2d")
def cuda_deform_conv2d(x: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """`semask::deform_conv2d`: columns sampled by kernels/deform_columns.cu, a matrix product for each strip of them.

    Raises:
        ValueError: the tensors do not fit together, or are too large for the kernel.
    """
    batch, channels, height, width = x.shape
    _check("offset_mask", offset_mask, (batch, 27 * groups, height, width), x)
    _check("weight", weight, (weight.shape[0], channels, 3, 3), x)
    if channels % groups:
        raise ValueError(f"{channels} channels do not divide into {groups} groups")
    plan = plan_sampling("deform_columns", x.dtype, offset_mask.dtype, groups, channels // groups, GROUPS=groups)
    if plan is None or not x.numel() or not launcher.available(plan.kernel, x.device):
        return reference_deform_conv2d(x, offset_mask, weight, bias, groups)
    if height * width * channels * x.itemsize >= 1 << 32 or batch * height >= 1 << 31:
        raise ValueError(f"x of shape {tuple(x.shape)} is too large: 4 GiB an image")

    pixels = dense(x.permute(0, 2, 3, 1))  # (B, h, w, C); channels-last images are not copied
    kernel = weight.to(x.dtype).permute(2, 3, 1, 0).reshape(9 * channels, -1)  # (taps * C, C_out)
    bias = kernel.new_zeros(kernel.shape[1]) if bias is None else bias.to(x.dtype)
    output = x.new_empty(batch * height * width, kernel.shape[1])
    strip = min(
        batch * height, max(1, COLUMN_BYTES // (width * 9 * channels * x.itemsize)), plan.tile_height * MAX_GRID
    )
    columns = x.new_empty(strip * width, 9 * channels)
    for row in range(0, batch * height, strip):
        rows = min(strip, batch * height - row)
        pointers = (t.data_ptr() for t in (pixels, offset_mask, columns))
        arguments = ColumnsArguments(*pointers, *offset_mask.stride(), height, width, row, rows)
        grid = (-(-width // plan.tile_width), -(-rows // plan.tile_height), 1)
        launcher.launch(plan.kernel, x.device, grid=grid, threads=plan.threads, arguments=arguments)
        part = slice(row * width, (row + rows) * width)
        torch.addmm(bias, columns[: rows * width], kernel, out=output[part])
    return output.view(batch, height, width, -1).permute(0, 3, 1, 2)


@cache
def _attention_arguments(levels: int) -> type[ctypes.Structure]:
    """`Arguments` of kernels/ms_deform_attn.cu."""
    pointers = [(name, c_void_p) for name in ("value", "reference", "offsets", "logits", "output")]
    extents = [(name, c_int * levels) for name in ("start", "height", "width")]
    fields = [*pointers, ("tokens", c_int), ("queries", c_int), *extents]
    return type("AttentionArguments", (ctypes.Structure,), {"_fields_": fields})


class ColumnsArguments(ctypes.Structure):
    """`Arguments` of kernels/deform_columns.cu."""

    _fields_ = (
        *((name, c_void_p) for name in ("input", "offset_mask", "columns")),
        *((f"{axis}_stride", c_longlong) for axis in ("batch", "channel", "row", "column")),
        *((name, c_int) for name in ("height", "width", "first_row", "rows")),
    )


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], other: Tensor) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, expected {shape}")
    if tensor.device != other.device:
        raise ValueError(f"{name} is on {tensor.device}, the other tensors are on {other.device}")
    if not tensor.is_floating_point():
        raise ValueError(f"{name} is {tensor.dtype}, expected a floating dtype")
