"""Multi-scale deformable attention: each query samples a few points of every level, at its offsets.

Follows «Deformable DETR» (Zhu et al., arXiv 2010.04159; published code Apache-2.0), with the softmax and the
computation of sampling locations inside the operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from semask_cli.ops import standard_operators
from semask_cli.ops.bilinear_bags import bilinear_bags
from semask_cli.ops.registry import define_operator


def ms_deform_attn(
    value: Tensor, level_sizes: Sequence[int], reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """Sum of bilinear samples of `value` around each query, weighted by the softmax of `logits`. No gradient.

    A level of h x w pixels is sampled bilinearly at `reference * (w, h) + offset - 0.5` pixels (align_corners False),
    zero outside.

    Args:
        value: the levels concatenated, row by row: (B, S, heads, D) with S the sum of h * w; float32, float64 or a
            half type.
        level_sizes: heights and widths, flat: [h0, w0, h1, w1, ...].
        reference: (Q, 2) float32, x and y from 0 to 1, the same on every level.
        offsets: (B, Q, heads, levels, points, 2), x and y in pixels of the level; any floating dtype.
        logits: (B, Q, heads, levels * points); any floating dtype.

    Returns:
        (B, Q, heads * D) of value's dtype, contiguous. Locations, weights and sums are float32 (float64 for float64
        values). A NaN location counts zero.
    """
    if torch.compiler.is_exporting():  # exported graphs run without semask
        return standard_operators.ms_deform_attn(value, level_sizes, reference, offsets, logits)
    attended: Tensor = _ms_deform_attn(value, level_sizes, reference, offsets, logits)
    return attended


def _fake(value: Tensor, level_sizes: Sequence[int], reference: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
    return value.new_empty(value.shape[0], offsets.shape[1], value.shape[2] * value.shape[3])


def reference_ms_deform_attn(
    value: Tensor, level_sizes: Sequence[int], reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """`ms_deform_attn` in plain torch: one sum of table rows for each query and head."""
    batch, _, heads, channels = value.shape
    _, queries, _, _, points, _ = offsets.shape
    dtype = torch.promote_types(value.dtype, torch.float32)
    sizes = list(zip(level_sizes[::2], level_sizes[1::2], strict=True))
    # The border of zeros comes from new_zeros; `starts` are the levels' first pixels in it.
    lengths = [(h + 2) * (w + 2) for h, w in sizes]
    starts = list(accumulate(lengths, initial=0))
    table = value.new_zeros(batch, starts[-1], heads, channels, dtype=dtype)
    for (h, w), bordered, level in zip(
        sizes, table.split(lengths, 1), value.split([h * w for h, w in sizes], 1), strict=True
    ):
        bordered.unflatten(1, (h + 2, w + 2))[:, 1:-1, 1:-1] = level.unflatten(1, (h, w))

    def column(per_level: Sequence[int], dtype: torch.dtype) -> Tensor:
        """(levels,) -> (heads * levels * points,), the samples of a query in the order of `offsets`."""
        return torch.tensor(per_level, dtype=dtype, device=value.device).repeat_interleave(points).repeat(heads)

    height, width = (column(extents, dtype) for extents in zip(*sizes, strict=True))
    head = torch.arange(heads, dtype=torch.int32, device=value.device).repeat_interleave(len(sizes) * points)
    first = column([start + w + 3 for start, (_, w) in zip(starts, sizes, strict=False)], torch.int32) * heads + head
    image = torch.arange(batch, dtype=torch.int32, device=value.device)[:, None, None] * (starts[-1] * heads)

    # An explicit softmax: over so few numbers torch.softmax is several times slower on CPU.
    weight = (logits.to(dtype) - logits.amax(-1, keepdim=True)).exp_()
    weight.div_(weight.sum(-1, keepdim=True))

    x, y = offsets.to(dtype).reshape(batch, queries, -1, 2).unbind(-1)
    rows, shares = bilinear_bags(
        torch.addcmul(x, reference[:, :1].to(dtype), width).sub_(0.5),
        torch.addcmul(y, reference[:, 1:].to(dtype), height).sub_(0.5),
        weight.view(batch, queries, -1),
        width=width,
        height=height,
        first=first + image,
        step=heads,
    )
    # One bag for each query and head: the four corners of its levels * points samples.
    bag = (batch * queries * heads, -1)
    attended = F.embedding_bag(
        rows.view(bag), table.view(-1, channels), mode="sum", per_sample_weights=shares.view(bag)
    )
    return attended.view(batch, queries, heads * channels).to(value.dtype)


_ms_deform_attn = define_operator(
    "ms_deform_attn(Tensor value, SymInt[] level_sizes, Tensor reference, Tensor offsets, Tensor logits) -> Tensor",
    reference=reference_ms_deform_attn,
    fake=_fake,
)
