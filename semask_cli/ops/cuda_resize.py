"""The operators of resize.py on CUDA devices: kernels/resize_*.cu.

Their plain formulations run here too where the kernels are switched off or cannot be built, for maps of a few pixels,
and for images much smaller than their maps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_int, c_longlong, c_void_p
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from semask_cli.ops import launcher
from semask_cli.ops.nvrtc import Kernel
from semask_cli.ops.resize import (
    TAPS,
    bilinear_taps,
    check,
    plain_accumulate,
    plain_argmax,
    plain_sigmoid,
    resize_accumulate,
    resize_argmax,
    resize_sigmoid,
    wanted,
)
from semask_cli.ops.storage import MAX_GRID, STORAGE

PIXELS = 4  # neighbours in a row that a thread works on
THREADS = 128
MAX_WINDOW = 8


def resize_kernel(name: str, maps: torch.dtype, *, window: int, **constants: int) -> Kernel:
    """The kernel whose threads reach `window` neighbouring columns of maps of this dtype."""
    return Kernel(name, (("VALUE", STORAGE[maps]), ("WINDOW", window), *constants.items()))


@resize_argmax.register_kernel("cuda")
def argmax(maps: Tensor, *resize: Sequence[int]) -> Tensor:
    """`semask::resize_argmax` by kernels/resize_argmax.cu."""
    rows, columns = wanted(*resize)
    labels = maps.new_empty(rows, padded(columns), dtype=torch.uint8)
    if _launched("resize_argmax", labels, maps, *resize):
        return labels[:, :columns].contiguous()
    return plain_argmax(maps, *resize)


@resize_accumulate.register_kernel("cuda")
def accumulate(scores: Tensor, maps: Tensor, *resize: Sequence[int], flip: bool = False, softmax: bool = False) -> None:
    """`semask::resize_accumulate` by kernels/resize_accumulate.cu; fastest where the rows of `scores` are `padded`.

    Raises:
        ValueError: `scores` has another shape, or is on another device.
    """
    shape = (len(maps), *wanted(*resize))
    if scores.shape != shape or scores.device != maps.device:
        raise ValueError(f"scores are {tuple(scores.shape)} on {scores.device}, expected {shape} on {maps.device}")
    whole = (*shape[:2], padded(shape[2]))
    in_place = scores.stride() == (whole[1] * whole[2], whole[2], 1) and scores.data_ptr() % 16 == 0
    in_place = in_place and scores.dtype == torch.float32
    total = scores if in_place else scores.new_zeros(whole, dtype=torch.float32)
    if not _launched("resize_accumulate", total, maps, *resize, flip=flip, SOFTMAX=int(softmax)):
        plain_accumulate(scores, maps, *resize, flip=flip, softmax=softmax)
    elif not in_place:
        scores += total[..., : shape[2]]


@resize_sigmoid.register_kernel("cuda")
def sigmoid(maps: Tensor, *resize: Sequence[int]) -> Tensor:
    """`semask::resize_sigmoid` by kernels/resize_sigmoid.cu."""
    rows, columns = wanted(*resize)
    masks = maps.new_empty(len(maps), rows, padded(columns), dtype=torch.float32)
    if _launched("resize_sigmoid", masks, maps, *resize):
        return masks[..., :columns].contiguous()
    return plain_sigmoid(maps, *resize)


def padded(width: int) -> int:
    """The distance of output rows: a multiple of what a thread writes."""
    return -(-width // PIXELS) * PIXELS


def _launched(
    name: str,
    output: Tensor,
    maps: Tensor,
    heights: Sequence[int],
    widths: Sequence[int],
    rows: Sequence[int],
    columns: Sequence[int],
    origin: Sequence[int],
    *,
    flip: bool = False,
    **constants: int,
) -> bool:
    """Launches the kernel if it covers this. The rows of `output` are `padded`."""
    check(maps, heights, widths, origin)
    count, h, w = maps.shape
    row_taps, _ = _table(tuple(heights), origin[0], h, *rows, maps.device)
    column_taps, window = _table(tuple(widths), origin[1], w, *columns, maps.device, flip=flip)
    size = wanted(heights, widths, rows, columns, origin)
    covered = h >= TAPS and w >= window <= MAX_WINDOW and 0 < size[0] <= MAX_GRID
    if not covered or maps.dtype not in STORAGE:
        return False
    kernel = resize_kernel(name, maps.dtype, window=window, **constants)
    if not launcher.available(kernel, maps.device):
        return False
    maps = maps if maps.stride(2) == 1 else maps.contiguous()
    stride = padded(size[1])
    pointers = (t.data_ptr() for t in (maps, row_taps, column_taps))
    resize = ResizeArguments(*pointers, maps.stride(0), maps.stride(1), count, w, *size, stride)
    arguments = Arguments(resize, output.data_ptr())
    grid = (-(-stride // (PIXELS * THREADS)), size[0], 1)
    launcher.launch(kernel, maps.device, grid=grid, threads=THREADS, arguments=arguments)
    return True


@lru_cache(maxsize=256)
def _table(
    sizes: tuple[int, ...], start: int, count: int, begin: int, end: int, device: torch.device, *, flip: bool = False
) -> tuple[Tensor, int]:
    """The taps of numbers `begin` to `end` of an axis, for maps that hold `count` numbers of it from `start` on.

    Returns:
        (end - begin, 4) float32 on the device: the first of three neighbours, which lie within the `count` if these are
        three, and their weights. And how many neighbours PIXELS numbers reach together.

    Raises:
        ValueError: the maps do not hold all the numbers.
    """
    first, weights = bilinear_taps(sizes)
    first, weights = first[begin:end] - start, weights[begin:end]
    inside = first.clamp(0, max(count - TAPS, 0))
    shift = (first - inside).clamp(0, TAPS)[:, None]
    weights = F.pad(weights, (TAPS, 0)).gather(1, TAPS - shift + torch.arange(TAPS))
    if (first < 0).any() or (weights.sum(1) < 0.99).any():
        raise ValueError(f"numbers {begin} to {end} of {sizes} are not all in numbers {start} to {start + count}")
    table = torch.cat([inside[:, None], weights], dim=1)
    table = table.flip(0) if flip else table
    groups = F.pad(table[None, :, 0], (0, -len(table) % PIXELS), mode="replicate").view(-1, PIXELS)
    window = int((groups.amax(1) - groups.amin(1)).max()) + TAPS
    return table.to(device), window


class ResizeArguments(ctypes.Structure):
    """`Resize` of kernels/resize.cuh."""

    _fields_ = (
        *((name, c_void_p) for name in ("maps", "rows", "columns")),
        *((name, c_longlong) for name in ("map_stride", "row_stride")),
        *((name, c_int) for name in ("maps_count", "width", "output_rows", "output_width", "output_stride")),
    )


class Arguments(ctypes.Structure):
    """`Arguments` of kernels/resize_*.cu."""

    _fields_ = (("resize", ResizeArguments), ("output", c_void_p))
