"""Simplifying the rings of a polygon so that it stays valid: no ring crosses or touches itself or another one anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int32]
"""A closed line along the edges of pixels: its corners (N, 2) as x, y from the upper left, the first not repeated."""

_Indices = NDArray[np.int64]
_BAND = 8  # pixels; boxes are compared only within bands of rows


def simplified(rings: Sequence[Ring], tolerance: float) -> list[Ring]:
    """The rings of a valid polygon, the outline first, simplified by at most `tolerance` pixels (Douglas and Peucker).

    An edge that would make the polygon invalid is replaced by the corners that it left out.
    """
    simple = [_simplified(ring, tolerance) for ring in rings]
    if len(rings) == 1 and len(simple[0]) <= 4 and cv2.isContourConvex(simple[0]):  # most regions are this small
        return simple
    if all(len(ring) == len(all_corners) for ring, all_corners in zip(simple, rings, strict=True)):
        return list(rings)
    kept = [np.isin(_number(ring), _number(corners)) for ring, corners in zip(rings, simple, strict=True)]
    while (wrong := _wrong(rings, kept)) is not None:
        for ring_kept, ring_wrong in zip(kept, wrong, strict=True):
            # Of each corner, the edge that leads over it.
            edge = (np.cumsum(ring_kept) - 1) % len(ring_wrong)
            ring_kept |= ring_wrong[edge]
    return [ring[ring_kept] for ring, ring_kept in zip(rings, kept, strict=True)]


def _simplified(ring: Ring, tolerance: float) -> Ring:
    simple: NDArray[Any] = cv2.approxPolyDP(ring[:, None], tolerance, closed=True)[:, 0]
    return simple if len(simple) > 2 else ring


def _number(points: Ring) -> _Indices:
    return points[:, 0].astype(np.int64) << 32 | points[:, 1]


def _wrong(rings: Sequence[Ring], kept: Sequence[NDArray[np.bool_]]) -> list[NDArray[np.bool_]] | None:
    """For each ring, which of its simplified edges make the polygon invalid; None if none does."""
    shown = [ring[ring_kept].astype(np.int64) for ring, ring_kept in zip(rings, kept, strict=True)]
    sizes = [len(ring) for ring in shown]
    begin = np.concatenate(shown)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in shown])
    following = np.concatenate([np.roll(np.arange(size), -1) for size in sizes]) + np.repeat(_offsets(sizes), sizes)
    leaps = np.concatenate([_leaps(ring_kept) for ring_kept in kept])
    wrong = np.zeros(len(begin), np.bool_)

    backwards = (_cross(begin, end, end[following]) == 0) & (np.sum((begin - end) * (end[following] - end), 1) > 0)
    wrong[backwards] = wrong[following[backwards]] = True
    first, second = _overlapping(np.minimum(begin, end), np.maximum(begin, end))
    apart = (leaps[first] | leaps[second]) & (following[first] != second) & (following[second] != first)
    first, second = first[apart], second[apart]
    sides = [
        _cross(begin[i], end[i], point[j]) for i, j in ((first, second), (second, first)) for point in (begin, end)
    ]
    meet = (np.sign(sides[0]) * np.sign(sides[1]) <= 0) & (np.sign(sides[2]) * np.sign(sides[3]) <= 0)
    wrong[first[meet]] = wrong[second[meet]] = True

    if not wrong.any() and len(shown) > 1:
        for ring in _misplaced(shown):
            wrong[_offsets(sizes)[ring] :][: sizes[ring]] = True
    return np.split(wrong, _offsets(sizes)[1:]) if (wrong & leaps).any() else None


def _offsets(sizes: Sequence[int]) -> _Indices:
    """Where each of the concatenated rings begins."""
    return np.cumsum([0, *sizes[:-1]])


def _leaps(kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each edge between kept corners, whether it leaves one out."""
    corners = np.flatnonzero(kept)
    return (np.roll(corners, -1) - corners) % len(kept) != 1


def _cross(begin: Any, end: Any, point: Any) -> Any:
    """Positive, zero or negative: on which side of the lines from `begin` to `end` the points lie, each (N, 2)."""
    along, across = end - begin, point - begin
    return along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]


def _overlapping(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[_Indices, _Indices]:
    """The pairs of boxes from `low` to `high` (N, 2) that overlap or touch."""
    bands = high[:, 1] // _BAND - low[:, 1] // _BAND + 1
    box = np.repeat(np.arange(len(low)), bands)
    band = low[box, 1] // _BAND + _within(bands)
    width = high[:, 0].max() + 1
    order = np.argsort(band * width + low[box, 0])
    box, band = box[order], band[order]
    # A box is followed by those that begin in the same band before it ends.
    stop = np.searchsorted(band * width + low[box, 0], band * width + high[box, 0], side="right")
    counts = stop - np.arange(len(box)) - 1
    place = np.repeat(np.arange(len(box)), counts)
    first, second = box[place], box[place + 1 + _within(counts)]
    top = np.maximum(low[first, 1], low[second, 1])
    met = (top <= np.minimum(high[first, 1], high[second, 1])) & (top // _BAND == band[place])
    return first[met], second[met]


def _within(counts: _Indices) -> _Indices:
    """0, 1, … for each of the counts, concatenated."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _misplaced(rings: Sequence[NDArray[np.int64]]) -> set[int]:
    """The rings, none of which crosses another, that are a hole outside the outline or in a hole, and those around."""
    outside = [hole for hole in range(1, len(rings)) if not _contains(rings[0], rings[hole])]
    low, high = (np.array([side(ring, axis=0) for ring in rings[1:]]) for side in (np.min, np.max))
    pairs = [(int(first) + 1, int(second) + 1) for first, second in zip(*_overlapping(low, high), strict=True)]
    nested = [(a, b) for a, b in pairs if _contains(rings[a], rings[b]) or _contains(rings[b], rings[a])]
    return {*outside, *sum(nested, ()), *([0] if outside else [])}


def _contains(ring: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether `other`, which may touch `ring` but not cross it, lies within it."""
    contour = ring.astype(np.int32)
    sides = (cv2.pointPolygonTest(contour, (float(x), float(y)), measureDist=False) for x, y in other)
    return next(filter(None, sides), 1) > 0
