"""Whatever happens to items in flight: results in order, errors in their place, bytes within bounds, a prompt end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semask_cli.errors import ImageError, SemaskError, UsageError
from semask_cli.inference.stream import BYTES_PER_PIXEL, Reserve, Stages, pool_threads, stream

ITEMS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2), st.booleans()), max_size=40)
"""Pixels, key, and whether the item can be read."""

Item = tuple[int, int, bool]


class Flight:
    """Stages that keep account of the pixels in flight and of the batches."""

    def __init__(self) -> None:
        self.pixels, self.most, self.largest = 0, 0, 0
        self.batches: list[Sequence[Item]] = []
        self._lock = threading.Lock()

    def prepare(self, item: Item, reserve: Reserve) -> Item:
        pixels, _, readable = item
        if not readable and pixels % 2:
            raise ImageError("unreadable before its size is known")
        reserve(pixels, 1)
        with self._lock:
            self.pixels += pixels
            self.most = max(self.most, self.pixels)
        time.sleep(pixels % 3 / 5000)
        if not readable:
            raise ImageError("unreadable after its size is known")
        return item

    def predict(self, batch: Sequence[Item]) -> list[int]:
        self.batches.append(batch)
        return [pixels for pixels, _, _ in batch]

    def finish(self, item: Item, answer: int | SemaskError) -> tuple[Item, bool]:
        time.sleep(item[0] % 5 / 5000)
        with self._lock:
            if not (isinstance(answer, SemaskError) and "before" in answer.message):
                self.pixels -= item[0]
        assert isinstance(answer, SemaskError) or answer == item[0]
        return item, isinstance(answer, SemaskError)

    @property
    def stages(self) -> Stages[Item, Item, int, tuple[Item, bool]]:
        return Stages(prepare=self.prepare, batch_key=lambda item: item[1], predict=self.predict, finish=self.finish)


@settings(max_examples=60)
@given(items=ITEMS, threads=st.integers(1, 4), batch_size=st.integers(1, 4), pixels=st.integers(1, 100))
def test_results_are_in_order_and_memory_is_bounded(
    items: list[Item], threads: int, batch_size: int, pixels: int
) -> None:
    flight = Flight()
    results = stream(items, flight.stages, threads=threads, batch_size=batch_size, memory=pixels * BYTES_PER_PIXEL)
    assert list(results) == [(item, not item[2]) for item in items]
    assert flight.most <= max(pixels, max((item[0] for item in items), default=0))
    assert all(len(batch) <= batch_size and len({item[1] for item in batch}) == 1 for batch in flight.batches)


def test_items_of_one_key_go_together_when_they_wait() -> None:
    flight = Flight()

    def slow(batch: Sequence[Item]) -> list[int]:
        time.sleep(0.02)
        return flight.predict(batch)

    stages = Stages(
        prepare=flight.prepare, batch_key=lambda item: item[1], predict=slow, finish=lambda item, answer: answer
    )
    list(stream([(n, n % 2, True) for n in range(64)], stages, threads=2, batch_size=4))
    assert max(map(len, flight.batches)) == 4
    assert len(flight.batches) < 32


def test_items_are_asked_for_when_there_is_room_for_them() -> None:
    taken = 0

    def endless() -> Iterator[Item]:
        nonlocal taken
        while True:
            taken += 1
            yield (1, 0, True)

    with closing(stream(endless(), Flight().stages, threads=2)) as results:
        next(results)
        assert taken < 10


def test_what_is_no_error_of_an_item_comes_in_its_place() -> None:
    def predict(batch: Sequence[Item]) -> list[int]:
        if batch[0][0] == 5:
            raise RuntimeError("broken")
        return [pixels for pixels, _, _ in batch]

    flight = Flight()
    stages = Stages(prepare=flight.prepare, batch_key=lambda item: 0, predict=predict, finish=flight.finish)
    results = stream([(n, 0, True) for n in range(9)], stages, threads=3)
    for expected in range(5):
        assert next(results)[0][0] == expected
    with pytest.raises(RuntimeError, match="broken"):
        next(results)


def test_closing_ends_it_though_items_wait_for_memory() -> None:
    finished = []
    flight = Flight()
    stages = Stages(
        prepare=flight.prepare,
        batch_key=lambda item: 0,
        predict=flight.predict,
        finish=lambda item, answer: finished.append(item),
    )
    results = stream([(40, 0, True)] * 1000, stages, threads=4, memory=50 * BYTES_PER_PIXEL)
    next(results)
    results.close()
    assert len(finished) < 20


@pytest.mark.parametrize("processes", ["abc", "0", "-1"])
def test_no_number_of_processes(processes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    with pytest.raises(UsageError, match=f"LOCAL_WORLD_SIZE={processes}"):
        pool_threads(network_on_cpu=True)
