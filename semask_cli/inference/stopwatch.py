"""The time of each stage of an image."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

Elapsed = Callable[[], float]
"""Returns the milliseconds of a finished stage; may wait for the GPU."""


class Stopwatch:
    """Milliseconds by stage. A nested stage is subtracted from the outer one.

    A stage `on` a CUDA device is timed there, between two events in its current stream, without waiting: the host only
    queues the work. The events are read by `milliseconds`. Work for several images at once counts by its `share`.
    """

    def __init__(self) -> None:
        self._stages: list[tuple[str, Elapsed]] = []
        self._within: list[list[Elapsed]] = []

    @contextmanager
    def __call__(self, stage: str, *, on: torch.device | None = None, share: float = 1.0) -> Iterator[None]:
        begin = _cuda_event(on) if on is not None and on.type == "cuda" else time.perf_counter()
        inner: list[Elapsed] = []
        self._within.append(inner)
        try:
            yield
        finally:
            self._within.pop()
            if isinstance(begin, torch.cuda.Event):
                elapsed = _between(begin, _cuda_event(on))
            else:
                spent = 1000 * (time.perf_counter() - begin)
                elapsed = lambda: spent  # noqa: E731
            self._stages.append((stage, lambda: share * (elapsed() - sum(part() for part in inner))))
            if self._within:
                self._within[-1].append(elapsed)

    @property
    def milliseconds(self) -> dict[str, float]:
        """By stage, summed; waits for unfinished work on the GPU."""
        total: defaultdict[str, float] = defaultdict(float)
        for stage, elapsed in self._stages:
            total[stage] += elapsed()
        return dict(total)


def _cuda_event(device: torch.device | None) -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def _between(begin: torch.cuda.Event, end: torch.cuda.Event) -> Elapsed:
    def elapsed() -> float:
        end.synchronize()
        return begin.elapsed_time(end)

    return elapsed
