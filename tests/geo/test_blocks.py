"""Blocks see every pixel through the windows that the whole raster would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from semask_cli.geo.blocks import spans
from semask_cli.inference.sliding_window import window_starts


@given(
    length=st.integers(1, 300),
    crop=st.integers(1, 30),
    step=st.integers(1, 30),
    windows=st.integers(1, 6),
)
def test_own_pixels_have_all_their_windows(length: int, crop: int, step: int, windows: int) -> None:
    stride = min(step, crop)
    everywhere = window_starts(length, crop=crop, stride=stride)
    owned: list[int] = []
    for span in spans(length, crop=crop, stride=stride, windows=windows):
        owned += span.own
        local = [start + span.read.start for start in window_starts(len(span.read), crop=crop, stride=stride)]
        for pixel in span.own:
            over = [start for start in everywhere if start <= pixel < start + crop]
            assert [start for start in local if start <= pixel < start + crop] == over
    assert owned == list(range(length))
