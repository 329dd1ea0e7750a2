"""Bilinear resizes of class and mask maps, fused with what follows: class maps of the image's size are never written.

All operators take maps (maps, h, w), floating, and a `Resample`: the resizes and the tile of the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semask_cli.ops.registry import define_operator
from semask_cli.ops.resample import Resample, interpolation_matrix, source_range

Floats = NDArray[np.floating]

ROW_ALIGNMENT = 4  # float32 numbers: the kernels write 16 bytes at a time

_RESAMPLE = "SymInt[] heights, SymInt[] widths, SymInt[] rows, SymInt[] columns, SymInt[] origin"


def resize_argmax(maps: Tensor, resample: Resample) -> Tensor:
    """The argmax over at most 256 resized maps, the first of equals: (rows, columns) uint8."""
    labels: Tensor = _argmax(maps, *resample.to_plain())
    return labels


def resize_accumulate(
    scores: Tensor, maps: Tensor, resample: Resample, *, flip: bool = False, softmax: bool = False
) -> None:
    """Add the resized maps to `scores` (maps, rows, columns) float32, preferably created by `new_scores`.

    `softmax` over the maps, then `flip`, left to right, are applied after the resize.
    """
    _accumulate(scores, maps, *resample.to_plain(), flip=flip, softmax=softmax)


def resize_sigmoid(maps: Tensor, resample: Resample) -> Tensor:
    """The sigmoid of the resized maps: (maps, rows, columns) float32, whose rows may be padded in memory."""
    masks: Tensor = _sigmoid(maps, *resample.to_plain())
    return masks


def new_scores(maps: Tensor, resample: Resample) -> Tensor:
    """Zeros (maps, rows, columns) float32, with a memory layout that `resize_accumulate` can write in place."""
    rows, columns = resample.output_shape
    return maps.new_zeros(len(maps), rows, aligned(columns), dtype=torch.float32)[..., :columns]


def aligned(columns: int) -> int:
    """The row length, in numbers, that the kernels write: `columns`, rounded up."""
    return -(-columns // ROW_ALIGNMENT) * ROW_ALIGNMENT


def max_and_argmax(scores: Tensor) -> tuple[Tensor, Tensor]:
    """scores.max(0) over at most 256 maps: the maximum, and its index as uint8, the first of equals."""
    if scores.device.type != "cpu":
        best, index = scores.max(0)
        return best, index.to(torch.uint8)
    # Along the first dimension torch is twenty times as fast without the index, which numpy finds by comparison.
    best, last = scores.amax(0), len(scores) - 1
    is_best = torch.from_numpy(np.equal(scores.detach().numpy(), best.detach().numpy())).view(torch.uint8)
    before_last = is_best.mul_(torch.arange(last, -1, -1, dtype=torch.uint8)[:, None, None]).amax(0)
    return best, last - before_last


def resize(maps: Tensor, resample: Resample) -> Tensor:
    """The resized maps (maps, rows, columns), at least float32, as two small matrix products.

    Raises:
        ValueError: the maps lack pixels that the tile depends on.
    """
    return _interpolate(_source(maps, resample), resample)


def reference_argmax(maps: Tensor, resample: Resample) -> Tensor:
    """`resize_argmax` in plain torch, or in numpy on a CPU, restricted to maps that can be the maximum."""
    source, (rows, columns) = _source(maps, resample), resample.output_shape
    # Worthwhile if each pixel of a map affects several of the result.
    if source.device.type == "cpu" and source[0].numel() * 4 <= rows * columns:
        return torch.from_numpy(_argmax_of_few(source.detach().numpy(), resample))
    return max_and_argmax(_interpolate(source, resample))[1]


def reference_accumulate(
    scores: Tensor, maps: Tensor, resample: Resample, *, flip: bool = False, softmax: bool = False
) -> None:
    """`resize_accumulate` in plain torch."""
    resized = resize(maps, resample)
    resized = resized.softmax(0) if softmax else resized
    scores += resized.flip(2) if flip else resized


def reference_sigmoid(maps: Tensor, resample: Resample) -> Tensor:
    """`resize_sigmoid` in plain torch."""
    return resize(maps, resample).sigmoid()


def _source(maps: Tensor, resample: Resample) -> Tensor:
    """The part of the maps that the tile depends on, at least float32."""
    resample.check(maps)
    (_, h, w), (y, x) = maps.shape, resample.origin
    rows = source_range(resample.heights, resample.rows)
    columns = source_range(resample.widths, resample.columns)
    for axis, source, start, length in (("rows", rows, y, h), ("columns", columns, x, w)):
        if source.start < start or source.stop > start + length:
            raise ValueError(
                f"the tile needs {axis} {source.start} to {source.stop}, the maps hold {start} to {start + length}"
            )
    part = maps[:, rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    return part.to(torch.promote_types(maps.dtype, torch.float32))


def _interpolate(source: Tensor, resample: Resample) -> Tensor:
    """(maps, source rows, source columns) -> (maps, rows, columns)."""
    down = interpolation_matrix(resample.heights, resample.rows)
    across = interpolation_matrix(resample.widths, resample.columns)
    source = source if down is None else down.to(source) @ source
    return source if across is None else source @ across.to(source).T


def _argmax_of_few(maps: Floats, resample: Resample) -> NDArray[np.uint8]:
    """The argmax of the resized (maps, source rows, source columns), restricted to maps that can be the maximum.

    In numpy, which runs only the two products in parallel: torch would split every small step over threads, whose cores
    are busy decoding images, and wait for them longer than it computes.
    """
    candidates = _candidates(maps)
    labels = np.full(resample.output_shape, candidates[-1], np.uint8)
    if len(candidates) == 1:
        return labels
    resized = maps[candidates]
    down = interpolation_matrix(resample.heights, resample.rows)
    across = interpolation_matrix(resample.widths, resample.columns)
    resized = resized if down is None else down.numpy().astype(maps.dtype, copy=False) @ resized
    resized = resized if across is None else resized @ across.numpy().astype(maps.dtype, copy=False).T
    best = resized.max(0)
    for label, scores in zip(candidates[-2::-1], resized[-2::-1], strict=True):  # backwards: the first of equals stays
        labels[scores == best] = label
    return labels


def _candidates(maps: Floats) -> NDArray[np.intp]:
    """Indices, ascending, of the maps that can be the maximum somewhere, for any resize.

    A pixel of the result is a mean of 3 x 3 neighbours: a map whose largest neighbour is below another's smallest one
    cannot be the maximum. As the other, only maps are tried that are the maximum somewhere before the resize.
    """
    maps = np.ascontiguousarray(maps)  # a view of larger maps takes a fifth longer
    leading = maps[_reaching(maps, maps.max(0))]
    bound = _least_neighbours(leading).max(0)
    bound -= 1e-5 * np.abs(bound) + 1e-5  # rounding
    return _reaching(maps, _least_neighbours(bound[None])[0])


def _reaching(maps: Floats, bound: Floats) -> NDArray[np.intp]:
    """The indices of the maps (maps, h, w) that reach a bound (h, w) somewhere, or hold a NaN."""
    return np.flatnonzero(~((maps - bound).max((1, 2)) < 0))


def _least_neighbours(maps: Floats) -> Floats:
    """The minimum of each 3 x 3 neighbourhood of (maps, h, w)."""
    around = np.pad(maps, ((0, 0), (1, 1), (1, 1)), mode="edge")
    lines = np.minimum(np.minimum(around[:, :-2], around[:, 1:-1]), around[:, 2:])
    return np.minimum(np.minimum(lines[..., :-2], lines[..., 1:-1]), lines[..., 2:])


def _output_shape(rows: Sequence[int], columns: Sequence[int]) -> tuple[int, int]:
    return rows[1] - rows[0], columns[1] - columns[0]  # not a Resample: under torch.compile these may be symbols


_argmax = define_operator(
    f"resize_argmax(Tensor maps, {_RESAMPLE}) -> Tensor",
    reference=lambda maps, *plain: reference_argmax(maps, Resample.from_plain(*plain)),
    fake=lambda maps, heights, widths, rows, columns, origin: maps.new_empty(
        _output_shape(rows, columns), dtype=torch.uint8
    ),
)
_accumulate = define_operator(
    f"resize_accumulate(Tensor(a!) scores, Tensor maps, {_RESAMPLE}, *, bool flip=False, bool softmax=False) -> ()",
    reference=lambda scores, maps, *plain, flip=False, softmax=False: reference_accumulate(
        scores, maps, Resample.from_plain(*plain), flip=flip, softmax=softmax
    ),
    fake=lambda *_, **__: None,
)
_sigmoid = define_operator(
    f"resize_sigmoid(Tensor maps, {_RESAMPLE}) -> Tensor",
    reference=lambda maps, *plain: reference_sigmoid(maps, Resample.from_plain(*plain)),
    fake=lambda maps, heights, widths, rows, columns, origin: maps.new_empty(
        (maps.shape[0], *_output_shape(rows, columns)), dtype=torch.float32
    ),
)
