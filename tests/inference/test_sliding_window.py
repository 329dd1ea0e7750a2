"""Windows are predicted when their rows are asked for, and freed when the rows are done."""

from __future__ import annotations

from semask_cli.inference.sliding_window import Mosaic
from semask_cli.inference.stopwatch import Stopwatch
from tests.support import filled
from tests.support.toy_networks import SMALL_MODELS, toy_segmenter


def test_a_small_budget_keeps_fewer_windows() -> None:
    engine = toy_segmenter(SMALL_MODELS["fpn"], mode="slide", crop=(32, 32), stride=(20, 20), scales="native")
    most: dict[int, int] = {}
    for memory in (1 << 30, 200_000):
        engine.memory = memory
        merge = engine._merge(filled.image(60, 1000, 3), Stopwatch())
        [view] = merge.views
        assert isinstance(view.prediction, Mosaic)
        most[memory] = max(len(view.prediction._seen) for _ in merge._each_tile(merge._scores))
    assert most[200_000] < most[1 << 30] / 3
