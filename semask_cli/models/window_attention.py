"""Self-attention within shifted windows, with relative position biases.

Follows «Swin Transformer» (Liu et al., arXiv 2103.14030; published code MIT). Tokens are (B, H, W, C).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.models.windows import (
    BOTTOM,
    PLAIN,
    RIGHT,
    cut_windows,
    join_windows,
    window_batches,
    window_partition,
    window_reverse,
    windows_per_batch,
)
from semask_cli.ops.cpu import small_products_are_slow
from semask_cli.ops.linear import Linear
from semask_cli.ops.window_attention import REGION_MASK, has_kernel, relative_position_index, window_attention

BIAS_ALIGNMENT = 8
"""Rows of a bias begin at multiples of so many numbers, so that torch's GPU kernels can load 16 bytes at a time."""


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a learned bias for each relative position.

    With `shift`, the windows of the last row and column hold tokens from opposite borders of the map, which must not
    attend to each other. Only these windows pay for a mask.
    """

    relative_position_bias_table: nn.Parameter
    relative_position_index: Tensor

    def __init__(self, dim: int, *, window: int, shift: int, heads: int) -> None:
        super().__init__()
        self.window, self.shift, self.heads = window, shift, heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_position_index(window))
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)
        self._biases: tuple[tuple[object, ...], Tensor, tuple[Tensor, ...]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        if torch.compiler.is_compiling():
            return self.proj(self._attend_by_shapes(x))
        qkv = self.qkv(x)
        head = x.shape[3] // self.heads
        if not torch.is_grad_enabled() and has_kernel(qkv.device, qkv.dtype, window=self.window, head=head):
            padded, parts = self.qkv.bias, (3, self.heads, -1)
            attended = window_attention(
                qkv.unflatten(3, parts), padded.unflatten(0, parts), self.table(), self.window, self.shift
            )
            return self.proj(attended.flatten(3))
        return self.proj(self.attend_by_tables(qkv))

    def attend_by_tables(self, qkv: Tensor) -> Tensor:
        """(B, H, W, 3 * C) -> (B, H, W, C): a gather, torch's attention and a scatter for some windows at a time."""
        b, h, w, c = *qkv.shape[:3], qkv.shape[3] // 3
        qkv = qkv.flatten(0, 2)
        biases = self.biases(qkv.dtype)
        out = qkv.new_empty(b * h * w + 1, c)
        batch = windows_per_batch(biases[PLAIN].numel(), qkv.device)
        for part in window_batches(b, h, w, window=self.window, shift=self.shift, batch=batch, device=qkv.device):
            # (tokens, 3 * C) -> (slots, 3 * C) -> (windows, N, 3 * C)
            windows = window_partition(qkv, part, padding=self.qkv.bias).unflatten(0, (-1, self.window**2))
            borders, counts = zip(*part.borders, strict=True)
            by_border = [
                self._attend(windows_there, biases[border])
                for border, windows_there in zip(borders, windows.split(counts), strict=True)
            ]
            attended_slots = torch.cat(by_border) if len(by_border) > 1 else by_border[0]
            window_reverse(attended_slots.flatten(0, 1), part, out=out)
        return out[:-1].view(b, h, w, c)

    def _attend_by_shapes(self, x: Tensor) -> Tensor:
        """What `forward` does up to its projection, in the published steps."""
        _, h, w, _ = x.shape
        windows = self.qkv(cut_windows(x, window=self.window, shift=self.shift))  # (B, rows, columns, N, 3 * C)
        biases = self.biases(windows.dtype)
        attended = [
            torch.cat(
                [
                    self._attend(part.flatten(0, 2), biases[down + across]).unflatten(0, part.shape[:3])
                    for across, part in self._by_border(rows, RIGHT, axis=2)
                ],
                dim=2,
            )
            for down, rows in self._by_border(windows, BOTTOM, axis=1)
        ]
        return join_windows(torch.cat(attended, dim=1), h, w, shift=self.shift)

    def _by_border(self, windows: Tensor, border: int, *, axis: int) -> list[tuple[int, Tensor]]:
        """The plain windows, and with a shift the last of the axis, which hold tokens from opposite borders."""
        if not self.shift:
            return [(PLAIN, windows)]
        plain, last = windows.split([windows.shape[axis] - 1, 1], dim=axis)
        return [(PLAIN, plain), (border, last)] if plain.shape[axis] else [(border, last)]

    def _attend(self, windows: Tensor, bias: Tensor) -> Tensor:
        """(windows, N, 3 * C) -> (windows, N, C)."""
        q, k, v = windows.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return biased_attention(q, k, v, bias).transpose(1, 2).flatten(2)  # (windows, heads, N, d) before

    def biases(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Position biases (heads, N, N) of a plain window; with a shift, also of those at the right, bottom and corner.

        In `dtype`, and in rows that begin at multiples of `BIAS_ALIGNMENT` numbers: what differs is converted or copied
        by torch in every pass.
        """
        if torch.compiler.is_compiling() or (
            torch.is_grad_enabled() and self.relative_position_bias_table.requires_grad
        ):
            return self._fold(dtype)  # they are part of the graph
        return self._kept(dtype, lambda: self._fold(dtype))

    def table(self) -> Tensor:
        """As `window_attention` takes it: float32 (heads, (2 * window - 1) ** 2)."""
        return self._kept(None, lambda: (self.relative_position_bias_table.t().float().contiguous(),))[0]

    def _kept(self, dtype: torch.dtype | None, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """What `make` gives for the current bias table, cached until the table changes."""
        table = self.relative_position_bias_table
        storage = table.untyped_storage()._cdata  # unlike data_ptr(), fake tensors have it
        key = (storage, table.storage_offset(), 0 if table.is_inference() else table._version, dtype)
        kept = self._biases
        if kept is None or kept[0] != key:
            kept = self._biases = (key, table.detach(), make())  # held, so that no other storage gets its address
        return kept[2]

    def _fold(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        table, pairs = self.relative_position_bias_table, self.window**2
        bias = table[self.relative_position_index.flatten()].view(pairs, pairs, -1).permute(2, 0, 1)[None]
        if self.shift:
            far = torch.arange(self.window, device=table.device) >= self.window - self.shift
            y, x = far[:, None].expand(-1, self.window).flatten(), far.repeat(self.window)
            right, bottom = (a[:, None] != a for a in (x, y))
            masks = torch.stack([torch.zeros_like(right), right, bottom, right | bottom])
            bias = bias + REGION_MASK * masks[:, None]
        return F.pad(bias.to(dtype).contiguous(), (0, -pairs % BIAS_ALIGNMENT))[..., :pairs].unbind(0)


def biased_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """softmax(q . k / sqrt(d) + bias) v for q, k, v (windows, heads, N, d) and one bias (heads, N, N) for all."""
    if q.device.type != "cpu" or torch.compiler.is_compiling() or not small_products_are_slow():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
    scores = torch.matmul(q, k.transpose(2, 3))
    scores = torch.add(bias.float(), scores, alpha=q.shape[-1] ** -0.5).softmax(-1)
    return torch.matmul(scores.to(v.dtype), v)
