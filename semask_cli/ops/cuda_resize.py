"""The operators of resize.py on CUDA devices: kernels/resize_*.cu.

The reference formulations run instead if the kernels are switched off or cannot be built, for maps of a few pixels, and
for images much smaller than their maps.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_longlong, c_void_p
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from semask_cli.ops import launcher
from semask_cli.ops.nvrtc import Kernel
from semask_cli.ops.registry import cuda_kernel
from semask_cli.ops.resample import TAPS, Resample, bilinear_taps
from semask_cli.ops.resize import ROW_ALIGNMENT, aligned, reference_accumulate, reference_argmax, reference_sigmoid
from semask_cli.ops.storage import MAX_GRID, STORAGE

PIXELS = ROW_ALIGNMENT  # neighbouring pixels per thread
THREADS = 128
MAX_WINDOW = 8


def resize_kernel(name: str, maps: torch.dtype, *, window: int, **constants: int) -> Kernel:
    """The kernel whose threads reach `window` neighbouring columns of maps of this dtype."""
    return Kernel(name, (("VALUE", STORAGE[maps]), ("WINDOW", window), *constants.items()))


def cuda_argmax(maps: Tensor, resample: Resample) -> Tensor:
    """`semask::resize_argmax` by kernels/resize_argmax.cu."""
    rows, columns = resample.output_shape
    labels = maps.new_empty(rows, aligned(columns), dtype=torch.uint8)
    if _launched("resize_argmax", labels, maps, resample):
        return labels[:, :columns].contiguous()
    return reference_argmax(maps, resample)


def cuda_accumulate(
    scores: Tensor, maps: Tensor, resample: Resample, *, flip: bool = False, softmax: bool = False
) -> None:
    """`semask::resize_accumulate` by kernels/resize_accumulate.cu; fastest for `scores` laid out as by `new_scores`.

    Raises:
        ValueError: `scores` has another shape, or is on another device.
    """
    shape = (len(maps), *resample.output_shape)
    if scores.shape != shape or scores.device != maps.device:
        raise ValueError(f"scores are {tuple(scores.shape)} on {scores.device}, expected {shape} on {maps.device}")
    whole = (*shape[:2], aligned(shape[2]))
    in_place = scores.stride() == (whole[1] * whole[2], whole[2], 1) and scores.data_ptr() % 16 == 0
    in_place = in_place and scores.dtype == torch.float32
    total = scores if in_place else scores.new_zeros(whole, dtype=torch.float32)
    if not _launched("resize_accumulate", total, maps, resample, flip=flip, SOFTMAX=int(softmax)):
        reference_accumulate(scores, maps, resample, flip=flip, softmax=softmax)
    elif not in_place:
        scores += total[..., : shape[2]]


def cuda_sigmoid(maps: Tensor, resample: Resample) -> Tensor:
    """`semask::resize_sigmoid` by kernels/resize_sigmoid.cu."""
    rows, columns = resample.output_shape
    masks = maps.new_empty(len(maps), rows, aligned(columns), dtype=torch.float32)
    if _launched("resize_sigmoid", masks, maps, resample):
        return masks[..., :columns]
    return reference_sigmoid(maps, resample)


cuda_kernel("resize_argmax")(lambda maps, *plain: cuda_argmax(maps, Resample.from_plain(*plain)))
cuda_kernel("resize_sigmoid")(lambda maps, *plain: cuda_sigmoid(maps, Resample.from_plain(*plain)))
cuda_kernel("resize_accumulate")(
    lambda scores, maps, *plain, flip=False, softmax=False: cuda_accumulate(
        scores, maps, Resample.from_plain(*plain), flip=flip, softmax=softmax
    )
)


def _launched(
    name: str, output: Tensor, maps: Tensor, resample: Resample, *, flip: bool = False, **constants: int
) -> bool:
    """Launch the kernel if it supports this case; whether it was. The rows of `output` are `aligned`."""
    resample.check(maps)
    count, h, w = maps.shape
    row_taps, _ = _table(resample.heights, resample.origin[0], h, resample.rows, maps.device)
    column_taps, window = _table(resample.widths, resample.origin[1], w, resample.columns, maps.device, flip=flip)
    size = resample.output_shape
    covered = h >= TAPS and w >= window <= MAX_WINDOW and 0 < size[0] <= MAX_GRID
    if not covered or maps.dtype not in STORAGE:
        return False
    kernel = resize_kernel(name, maps.dtype, window=window, **constants)
    if not launcher.available(kernel, maps.device):
        return False
    maps = maps if maps.stride(2) == 1 else maps.contiguous()
    stride = aligned(size[1])
    pointers = (t.data_ptr() for t in (maps, row_taps, column_taps))
    resize = ResizeArguments(*pointers, maps.stride(0), maps.stride(1), count, w, *size, stride)
    arguments = Arguments(resize, output.data_ptr())
    grid = (-(-stride // (PIXELS * THREADS)), size[0], 1)
    launcher.launch(kernel, maps.device, grid=grid, threads=THREADS, arguments=arguments)
    return True


@lru_cache(maxsize=256)
def _table(
    sizes: tuple[int, ...], start: int, count: int, output: range, device: torch.device, *, flip: bool = False
) -> tuple[Tensor, int]:
    """The taps of the positions `output` of an axis, for maps that hold `count` positions of it from `start` on.

    Returns:
        (len(output), 4) float32 on the device: the first of three neighbours, which lie within the `count` if these are
        three, and their weights. And how many neighbours PIXELS positions reach together.

    Raises:
        ValueError: the maps do not hold all the neighbours.
    """
    first, weights = bilinear_taps(sizes)
    first, weights = first[output.start : output.stop] - start, weights[output.start : output.stop]
    inside = first.clamp(0, max(count - TAPS, 0))
    shift = (first - inside).clamp(0, TAPS)[:, None]
    weights = F.pad(weights, (TAPS, 0)).gather(1, TAPS - shift + torch.arange(TAPS))
    if (first < 0).any() or (weights.sum(1) < 0.99).any():
        raise ValueError(f"{output} of an axis resized through {sizes} needs more than {start} to {start + count}")
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
