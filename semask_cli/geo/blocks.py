"""Blocks of sliding windows, whose results equal those of the whole raster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from semask_cli.inference.sliding_window import window_starts


@dataclass(frozen=True, slots=True)
class Span:
    """A block on one axis: the pixels to `read`, and its `own` pixels, whose labels it decides."""

    read: range
    own: range


def spans(length: int, *, crop: int, stride: int, windows: int) -> Iterator[Span]:
    """Split an axis of `length` pixels into blocks of about `windows` windows of `crop` pixels, every `stride` pixels.

    Windows keep their places, and each block has all windows over its own pixels. The own pixels of all blocks
    partition the axis.
    """
    starts = window_starts(length, crop=crop, stride=stride)
    begin = first = 0
    while begin < length:
        last = min(first + windows - 1, len(starts) - 1)
        while last + 1 < len(starts) and starts[last + 1] <= begin:  # narrow steps: many windows over a pixel
            last += 1
        end = starts[last + 1] if last + 1 < len(starts) else length
        yield Span(range(starts[first], min(starts[last] + crop, length)), range(begin, end))
        begin = end
        first = next((index for index, start in enumerate(starts) if start + crop > begin), len(starts))
