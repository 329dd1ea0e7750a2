"""Blocks of sliding windows: merged one by one, they give what the windows of the whole raster give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from semask_cli.inference.sliding_window import window_starts


@dataclass(frozen=True, slots=True)
class Span:
    """A block's part of an axis: the pixels that it has to `read`, and those whose labels it decides, its `own`."""

    read: range
    own: range


def spans(length: int, *, crop: int, stride: int, windows: int) -> Iterator[Span]:
    """An axis of `length` pixels in blocks of about `windows` windows, of `crop` pixels every `stride`.

    Within a block windows stand where they stand in the whole, and over a block's own pixels all of them. The own
    pixels of all blocks are the axis.
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
