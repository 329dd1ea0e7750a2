"""Windows cover a view; they are predicted when their rows are asked for, and freed when the rows are done."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.inference.config import InferenceConfig
from semask_cli.inference.sliding_window import SlidingWindow, window_grid
from tests.support import filled
from tests.support.toy_networks import SMALL_MODELS, toy_segmenter


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
    for row in window_grid(height, width, InferenceConfig(mode="slide", crop=crop, stride=stride)):
        for y, x in row:
            assert 0 <= y.start < y.stop <= height
            assert 0 <= x.start < x.stop <= width
            assert (y.stop - y.start, x.stop - x.start) == (min(crop[0], height), min(crop[1], width))
            covered[y, x] = True
    assert covered.all()


def test_a_small_budget_keeps_fewer_windows() -> None:
    engine = toy_segmenter(SMALL_MODELS["fpn"], mode="slide", crop=(32, 32), stride=(20, 20), scales="native")
    most: dict[int, int] = {}
    for memory in (1 << 30, 200_000):
        engine.memory = memory
        merge = engine._merges([engine.prepare(filled.image(60, 1000, 3))])[0]
        [view] = merge.views
        assert isinstance(view.prediction, SlidingWindow)
        most[memory] = max(len(view.prediction._predictions) for _ in merge._each_tile(merge._scores))
    assert most[200_000] < most[1 << 30] / 3
