"""Attention in shifted windows, on the queries, keys and values of a map.

Follows «Swin Transformer» (Liu et al., arXiv 2103.14030; published code MIT): the map is padded to whole windows,
shifted cyclically, cut, and joined again. On a GPU one kernel does all of it (kernels/window_attention.cu, and
window_attention_float32.cu), if `has_kernel`. Otherwise fused attention between a gather and a scatter is faster (see
models/window_attention.py).

Float32 products stay float32 even with `--precision tf32`, as in torch's own attention.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_void_p

import torch
from torch import Tensor

from semask_cli.ops import launcher
from semask_cli.ops.nvrtc import Kernel
from semask_cli.ops.registry import cuda_kernel, define_operator
from semask_cli.ops.storage import MAX_GRID, STORAGE, dense

REGION_MASK = -100.0  # added to the score of a pair from different regions; finite, as published
HEAD = 32  # channels per head
WINDOWS = (7, 12)


def window_attention(qkv: Tensor, padding: Tensor, table: Tensor, window: int, shift: int) -> Tensor:
    """softmax(q . k / sqrt(d) + bias) v within windows. No gradient.

    Args:
        qkv: (B, H, W, 3, heads, d), a half type or wider: queries, keys and values of every token.
        padding: (3, heads, d) of qkv's dtype: those of a padding token.
        table: (heads, (2 * window - 1) ** 2) float32: the bias of a pair by the offset of the query from the key, down
            and right, each from 1 - window.
        window: side of a window, in tokens.
        shift: tokens by which the map is moved up and left before it is cut; less than `window`.

    Returns:
        (B, H, W, heads, d) of qkv's dtype. Scores, weights and sums are at least float32; the kernel rounds weights to
        qkv's dtype before they multiply values.
    """
    attended: Tensor = _window_attention(qkv, padding, table, window, shift)
    return attended


def has_kernel(device: torch.device, dtype: torch.dtype, *, window: int, head: int) -> bool:
    """Whether a kernel supports `head` channels per head; it is compiled and loaded."""
    if device.type != "cuda" or dtype not in STORAGE or window not in WINDOWS or head != HEAD:
        return False
    return launcher.available(window_kernel(dtype, window=window), device)


def window_kernel(dtype: torch.dtype, *, window: int) -> Kernel:
    """The kernel for windows of this side, with one warp per sixteen tokens."""
    name = "window_attention_float32" if dtype == torch.float32 else "window_attention"
    return Kernel(name, (("VALUE", STORAGE[dtype]), ("WINDOW", window)))


def relative_position_index(window: int) -> Tensor:
    """The entry of the bias table for each pair of tokens of a window: int64 (window ** 2, window ** 2)."""
    # On the CPU even where a network is built without memory: arithmetic on the meta device imports torch's compiler.
    steps = torch.arange(window, device="cpu")
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (y[:, None] - y + window - 1) * (2 * window - 1) + (x[:, None] - x + window - 1)


def reference_window_attention(qkv: Tensor, padding: Tensor, table: Tensor, window: int, shift: int) -> Tensor:
    """`window_attention` in plain torch, in the published steps."""
    _, height, width, _, heads, d = qkv.shape
    rows, columns = -(-height // window), -(-width // window)
    whole = padding.expand(len(qkv), rows * window, columns * window, 3, heads, d).clone()
    whole[:, :height, :width] = qkv

    def cut(maps: Tensor) -> Tensor:
        """(B, rows * window, columns * window, ...) -> (B, rows, columns, window ** 2, ...)."""
        return maps.unflatten(2, (columns, window)).unflatten(1, (rows, window)).transpose(2, 3).flatten(3, 4)

    # (B, rows, columns, N, 3, heads, d) -> 3 x (B, rows, columns, heads, N, d)
    shifted = whole.roll((-shift, -shift), (1, 2)).to(torch.promote_types(qkv.dtype, torch.float32))
    q, k, v = cut(shifted).permute(4, 0, 1, 2, 5, 3, 6).unbind(0)
    region = qkv.new_zeros(1, rows * window, columns * window, dtype=torch.int32)
    if shift:
        region[:, -shift:] += 2
        region[:, :, -shift:] += 1
    region = cut(region)[:, :, :, None]  # (1, rows, columns, 1, N)
    mask = REGION_MASK * (region[..., None] != region[..., None, :])
    bias = table[:, relative_position_index(window).to(table.device)]
    scores = q @ k.mT * d**-0.5 + bias.to(q.dtype) + mask
    attended = (scores.softmax(-1) @ v).transpose(3, 4)  # (B, rows, columns, N, heads, d)
    attended = attended.unflatten(3, (window, window)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return attended.roll((shift, shift), (1, 2))[:, :height, :width].to(qkv.dtype).contiguous()


def _fake(qkv: Tensor, padding: Tensor, table: Tensor, window: int, shift: int) -> Tensor:
    batch, height, width, _, heads, d = qkv.shape
    return qkv.new_empty(batch, height, width, heads, d)


_window_attention = define_operator(
    "window_attention(Tensor qkv, Tensor padding, Tensor table, int window, int shift) -> Tensor",
    reference=reference_window_attention,
    fake=_fake,
)


@cuda_kernel("window_attention")
def cuda_window_attention(qkv: Tensor, padding: Tensor, table: Tensor, window: int, shift: int) -> Tensor:
    """`semask::window_attention` by kernels/window_attention.cu.

    Raises:
        ValueError: the tensors do not fit together, or are too large for the kernel.
    """
    batch, height, width, _, heads, d = qkv.shape
    if padding.shape != qkv.shape[3:] or table.shape != (heads, (2 * window - 1) ** 2) or not 0 <= shift < window:
        shapes = f"{tuple(padding.shape)}, {tuple(table.shape)} and a shift of {shift}"
        raise ValueError(f"padding, table of {shapes} do not fit qkv of {tuple(qkv.shape)} in windows of {window}")
    if not qkv.numel() or not has_kernel(qkv.device, qkv.dtype, window=window, head=d):
        return reference_window_attention(qkv, padding, table, window, shift)
    if batch > MAX_GRID or heads > MAX_GRID or height * width >= 1 << 31:
        raise ValueError(f"qkv of shape {tuple(qkv.shape)} is too large")
    qkv, padding, table = (dense(t) for t in (qkv, padding.to(qkv.dtype), table.float()))
    output = qkv.new_empty(batch, height, width, heads, d)
    down, across = -(-height // window), -(-width // window)
    pointers = (t.data_ptr() for t in (qkv, padding, table, output))
    launcher.launch(
        window_kernel(qkv.dtype, window=window),
        qkv.device,
        grid=(down * across, heads, batch),
        threads=32 * -(-(window**2) // 16),
        arguments=WindowArguments(*pointers, height, width, shift, across, down),
    )
    return output


class WindowArguments(ctypes.Structure):
    """`Arguments` of kernels/window_attention.cu."""

    _fields_ = (
        *((name, c_void_p) for name in ("qkv", "padding", "table", "output")),
        *((name, c_int) for name in ("height", "width", "shift", "windows_across", "windows_down")),
    )
