"""Stages within stages."""

from __future__ import annotations

import itertools

import pytest
import torch

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


class Event:
    """Stands in for torch.cuda.Event: a device that begins a second after it is asked, and takes its time."""

    clock = itertools.count(start=10, step=7)
    waited: list[float] = []  # noqa: RUF012

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self, stream: object) -> None:
        self.time = next(self.clock)

    def synchronize(self) -> None:
        self.waited.append(self.time)

    def elapsed_time(self, other: Event) -> float:
        return other.time - self.time


def test_on_a_gpu_its_own_events_are_read_when_the_times_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    gpu, watch = torch.device("cuda"), Stopwatch()
    with watch("resize", on=torch.device("cpu")):  # host: 0 to 1
        pass
    with watch("merge", on=gpu), watch("network", on=gpu):  # device: 10 to 31, and 17 to 24
        pass
    assert not Event.waited
    assert watch.milliseconds == {"resize": 1000, "network": 7, "merge": 14}
    assert Event.waited


def test_images_share_the_time_of_what_is_done_for_all() -> None:
    watch = Stopwatch()
    with watch("network", share=0.25):
        pass
    assert watch.milliseconds == {"network": 250}
