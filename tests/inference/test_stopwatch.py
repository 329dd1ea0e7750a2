"""Stages within stages."""

from __future__ import annotations

import itertools

import pytest

from semask_cli.inference import stopwatch
from semask_cli.inference.stopwatch import Stopwatch


@pytest.fixture(autouse=True)
def _a_second_passes_at_each_glance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopwatch.time, "perf_counter", itertools.count().__next__)


def test_a_stage_within_another_counts_once() -> None:
    watch = Stopwatch()
    with watch("merge"):  # 0 to 5
        with watch("network"):  # 1 to 2
            pass
        with watch("network"):  # 3 to 4
            pass
    assert watch.milliseconds == {"network": 2000, "merge": 3000}


def test_a_stage_that_fails_is_timed() -> None:
    watch = Stopwatch()
    with pytest.raises(ValueError, match="broken"), watch("decode"):
        raise ValueError("broken")
    assert watch.milliseconds == {"decode": 1000}
