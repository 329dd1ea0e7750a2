"""Many images through one network: prepared in a pool, predicted in this thread, finished in a pool; results in order.

    items ─► prepare (pool) ─► predict (the caller's thread, batches of one key) ─► finish (pool) ─► results, in order

Items in flight are bounded by the bytes of their images, and by a number that keeps the pools busy.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Condition
from typing import Generic, TypeVar

from semask_cli.errors import SemaskError, UsageError

MEMORY = 1 << 30
"""Bytes for the images in flight."""

BYTES_PER_PIXEL = 12
"""Approximate memory of an image's pixel from decoding to output: decoded, RGB, views, labels."""

Reserve = Callable[[int, int], None]
"""Called with an image's height and width before decoding; returns when there is memory for it."""

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages(Generic[Item, Prepared, Answer, Result]):
    """The functions applied to each item.

    `prepare` and `finish` are called concurrently, `predict` in one thread, with items of equal `batch_key`. A
    SemaskError from `prepare` becomes the item's answer, which `finish` also gets. Any other exception ends the stream
    after the results before it.
    """

    prepare: Callable[[Item, Reserve], Prepared]
    batch_key: Callable[[Prepared], Hashable]
    predict: Callable[[Sequence[Prepared]], Sequence[Answer]]
    finish: Callable[[Item, Answer | SemaskError], Result]


def stream(
    items: Iterable[Item],
    stages: Stages[Item, Prepared, Answer, Result],
    *,
    threads: int,
    batch_size: int = 1,
    memory: int = MEMORY,
) -> Generator[Result, None, None]:
    """The results of `items`, in order; items are consumed lazily.

    Each pool has `threads`. Up to `batch_size` prepared items of one key are predicted together. When the generator is
    closed, for example by Ctrl-C, running work is awaited and nothing new is started.
    """
    budget, slots = _Budget(memory), deque[_Slot[Item, Prepared, Result]]()
    ahead, behind = threads + 2 * batch_size - 1, threads + batch_size
    waiting = enumerate(items)
    preparing = ThreadPoolExecutor(threads, thread_name_prefix="prepare")
    finishing = ThreadPoolExecutor(threads, thread_name_prefix="finish")

    def prepare(number: int, item: Item) -> Prepared | SemaskError:
        try:
            return stages.prepare(item, lambda height, width: budget.take(number, height * width * BYTES_PER_PIXEL))
        except SemaskError as error:
            return error
        finally:
            budget.pass_turn(number)

    def finish(number: int, item: Item, answer: Answer | SemaskError) -> Result:
        try:
            return stages.finish(item, answer)
        finally:
            budget.give_back(number)

    def answer(slot: _Slot[Item, Prepared, Result], given: Answer | SemaskError) -> None:
        slot.prepared = None
        slot.result = finishing.submit(finish, slot.number, slot.item, given)

    try:
        while True:
            new = [slot for slot in slots if slot.prepared]
            while len(new) < ahead and (following := next(waiting, None)) is not None:
                number, item = following
                slots.append(_Slot(number, item, preparing.submit(prepare, number, item)))
                new.append(slots[-1])
            if not slots:
                return
            first = slots[0]
            if first.result and (first.result.done() or not new or len(slots) - len(new) >= behind):
                slots.popleft()
                yield first.result.result()
                continue
            value = new[0].value()
            if isinstance(value, SemaskError):
                answer(new[0], value)
                continue
            batch = [(new[0], value)]
            for slot in new[1:]:
                if len(batch) < batch_size and slot.is_prepared():
                    other = slot.value()
                    if not isinstance(other, SemaskError) and stages.batch_key(other) == stages.batch_key(value):
                        batch.append((slot, other))
            answers = stages.predict([prepared for _, prepared in batch])
            for (slot, _), given in zip(batch, answers, strict=True):
                answer(slot, given)
            del value, batch, answers, given  # free this image's memory while waiting for the next
    except Exception:
        while slots and (earlier := slots.popleft().result):  # yield the results before it
            yield earlier.result()
        raise
    finally:
        budget.close()
        preparing.shutdown(wait=False, cancel_futures=True)
        finishing.shutdown(cancel_futures=True)
        preparing.shutdown()


def pool_threads(*, network_on_cpu: bool) -> int:
    """The number of threads of a pool: one per core, or per two cores if the network runs on the CPU too.

    Processes of torchrun on this machine share its cores.

    Raises:
        UsageError: LOCAL_WORLD_SIZE, by which torchrun tells their number, is none.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = os.environ.get("LOCAL_WORLD_SIZE") or "1"
    if not re.fullmatch("[0-9]{1,9}", processes) or not int(processes):
        raise UsageError(f"LOCAL_WORLD_SIZE={processes} is no number of processes", "Unset it, or use torchrun.")
    cores //= int(processes)
    return max(1, cores // 2 if network_on_cpu else cores)


@dataclass(slots=True)
class _Slot(Generic[Item, Prepared, Result]):
    """An item in flight: `prepared` until the network has answered, `result` from then on."""

    number: int
    item: Item
    prepared: Future[Prepared | SemaskError] | None
    result: Future[Result] | None = None

    def is_prepared(self) -> bool:
        return self.prepared is not None and self.prepared.done() and self.prepared.exception() is None

    def value(self) -> Prepared | SemaskError:
        assert self.prepared is not None
        return self.prepared.result()


class _ClosedError(Exception):
    """The stream was closed; nothing waits for this item."""


@dataclass(slots=True)
class _Budget:
    """Memory granted in the order of the items, so that an earlier one never waits for a later one.

    An item larger than the budget is granted when nothing else is in flight.
    """

    memory: int
    _taken: dict[int, int] = field(default_factory=dict)
    _passed: set[int] = field(default_factory=set)
    _turn: int = 0
    _closed: bool = False
    _changed: Condition = field(default_factory=Condition)

    def take(self, number: int, nbytes: int) -> None:
        def free() -> bool:
            held = sum(self._taken.values())
            return self._closed or (self._turn == number and (not held or held + nbytes <= self.memory))

        with self._changed:
            self._changed.wait_for(free)
            if self._closed:
                raise _ClosedError
            self._taken[number] = nbytes
            self._next_turn()

    def pass_turn(self, number: int) -> None:
        """End an item's turn, even if it took nothing; called at the end of every preparation."""
        with self._changed:
            if number >= self._turn:
                self._passed.add(number)
                if number == self._turn:
                    self._next_turn()

    def give_back(self, number: int) -> None:
        with self._changed:
            self._taken.pop(number, None)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next_turn(self) -> None:
        self._turn += 1
        while self._turn in self._passed:
            self._passed.remove(self._turn)
            self._turn += 1
        self._changed.notify_all()
