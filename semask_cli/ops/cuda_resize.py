"""The operators of resize.py on CUDA devices: kernels/resize_*.cu.

Their plain formulations run here too where the kernels are switched off or cannot be built, for maps of a few pixels,
and for pictures much smaller than their maps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import c_int, c_longlong, c_void_p
from functools import lru_cache
from types import MappingProxyType

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
)
from semask_cli.ops.storage import MAX_GRID, STORAGE

PIXELS = 4  # neighbours in a row that a thread works on
THREADS = 128
MAX_WINDOW = 8


def resize_kernel(name: str, maps: torch.dtype, *, window: int, **constants: int) -> Kernel:
    """The kernel whose threads reach `window` neighbouring columns of maps of this dtype."""
    return Kernel(name, (("VALUE", STORAGE[maps]), ("WINDOW", window), *constants.items()))


@resize_argmax.register_kernel("cuda")
def argmax(
    maps: Tensor, heights: Sequence[int], widths: Sequence[int], y0: int, y1: int, *, first_row: int = 0
) -> Tensor:
    """`semask::resize_argmax` by kernels/resize_argmax.cu."""
    labels = maps.new_empty(y1 - y0, padded(widths[-1]), dtype=torch.uint8)
    if _launched("resize_argmax", labels, maps, heights, widths, y0, y1, first_row):
        return labels[:, : widths[-1]].contiguous()
    return plain_argmax(maps, heights, widths, y0, y1, first_row=first_row)


@resize_accumulate.register_kernel("cuda")
def accumulate(
    scores: Tensor,
    maps: Tensor,
    heights: Sequence[int],
    widths: Sequence[int],
    y0: int,
    y1: int,
    *,
    first_row: int = 0,
    flip: bool = False,
    softmax: bool = False,
) -> None:
    """`semask::resize_accumulate` by kernels/resize_accumulate.cu; fastest where the rows of `scores` are `padded`.

    Raises:
        ValueError: `scores` has another shape, or is on another device.
    """
    shape = (len(maps), y1 - y0, widths[-1])
    if scores.shape != shape or scores.device != maps.device:
        raise ValueError(f"scores are {tuple(scores.shape)} on {scores.device}, expected {shape} on {maps.device}")
    rows = (*shape[:2], padded(widths[-1]))
    in_place = scores.stride() == (rows[1] * rows[2], rows[2], 1) and scores.data_ptr() % 16 == 0
    in_place = in_place and scores.dtype == torch.float32
    total = scores if in_place else scores.new_zeros(rows, dtype=torch.float32)
    constants = {"SOFTMAX": int(softmax)}
    if not _launched("resize_accumulate", total, maps, heights, widths, y0, y1, first_row, flip, constants):
        plain_accumulate(scores, maps, heights, widths, y0, y1, first_row=first_row, flip=flip, softmax=softmax)
    elif not in_place:
        scores += total[..., : widths[-1]]


@resize_sigmoid.register_kernel("cuda")
def sigmoid(maps: Tensor, heights: Sequence[int], widths: Sequence[int], y0: int, y1: int) -> Tensor:
    """`semask::resize_sigmoid` by kernels/resize_sigmoid.cu."""
    masks = maps.new_empty(len(maps), y1 - y0, padded(widths[-1]), dtype=torch.float32)
    if _launched("resize_sigmoid", masks, maps, heights, widths, y0, y1):
        return masks[..., : widths[-1]].contiguous()
    return plain_sigmoid(maps, heights, widths, y0, y1)


def padded(width: int) -> int:
    """The distance of output rows: a multiple of what a thread writes."""
    return -(-width // PIXELS) * PIXELS


def _launched(
    name: str,
    output: Tensor,
    maps: Tensor,
    heights: Sequence[int],
    widths: Sequence[int],
    y0: int,
    y1: int,
    first_row: int = 0,
    flip: bool = False,
    constants: Mapping[str, int] = MappingProxyType({}),
) -> bool:
    """Launches the kernel if it covers this. `output` has rows of padded(widths[-1]) numbers."""
    check(maps, heights, widths, first_row)
    count, available_rows, width = maps.shape
    rows, _ = _table(tuple(heights), first_row, available_rows, y0, y1, maps.device)
    columns, window = _table(tuple(widths), 0, width, 0, widths[-1], maps.device, flip=flip)
    covered = available_rows >= TAPS and width >= window <= MAX_WINDOW and 0 < y1 - y0 <= MAX_GRID
    if not covered or maps.dtype not in STORAGE:
        return False
    kernel = resize_kernel(name, maps.dtype, window=window, **constants)
    if not launcher.available(kernel, maps.device):
        return False
    maps = maps if maps.stride(2) == 1 else maps.contiguous()
    stride = padded(widths[-1])
    pointers = (t.data_ptr() for t in (maps, rows, columns))
    resize = ResizeArguments(*pointers, maps.stride(0), maps.stride(1), count, width, y1 - y0, widths[-1], stride)
    arguments = Arguments(resize, output.data_ptr())
    grid = (-(-stride // (PIXELS * THREADS)), y1 - y0, 1)
    launcher.launch(kernel, maps.device, grid=grid, threads=THREADS, arguments=arguments)
    return True


@lru_cache(maxsize=64)
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
