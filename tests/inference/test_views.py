"""Which views of an image the network gets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.inference.views import Recipe, windows


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    crop=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    part=st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)),
)
def test_windows_cover_every_pixel_and_stay_inside(
    height: int, width: int, crop: tuple[int, int], part: tuple[float, float]
) -> None:
    stride = (max(1, int(crop[0] * part[0])), max(1, int(crop[1] * part[1])))
    covered = np.zeros((height, width), bool)
    for row in windows(height, width, Recipe(mode="slide", crop=crop, stride=stride)):
        for y, x in row:
            assert 0 <= y.start < y.stop <= height
            assert 0 <= x.start < x.stop <= width
            assert (y.stop - y.start, x.stop - x.start) == (min(crop[0], height), min(crop[1], width))
            covered[y, x] = True
    assert covered.all()
