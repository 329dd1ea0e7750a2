"""A CPU's threads, divided between images that are segmented at the same time.

Threads that share a pass of a network wait for each other after each of about a thousand operators, longer where
something else wants a core, as the reading and writing of other images does. So small images get a thread each.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from threading import Condition
from typing import Self, TypeVar

import torch

MEMORY = 1 << 30
"""Bytes for the passes that run at the same time; a larger one runs alone."""

Result = TypeVar("Result")


class Cores:
    """Lends the `threads` of torch to passes of a network, each in a Python thread of its own.

    Until they are returned at the end of the block, torch gives new Python threads as few as a pass had.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._free, self._closed, self._changed = threads, False, Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        torch.set_num_threads(torch.get_num_threads())  # new Python threads get as many as this one again

    def until_closed(self, results: Generator[Result, None, None]) -> Generator[Result, None, None]:
        """The results, which are closed with this generator; passes that wait for threads then do not start."""
        with closing(results):
            try:
                for result in results:  # noqa: UP028 - `yield from` would close `results` first
                    yield result
            finally:
                with self._changed:
                    self._closed = True
                    self._changed.notify_all()

    @contextmanager
    def lent(self, nbytes: int) -> Iterator[None]:
        """Within the block, torch uses some of the threads: as many as a pass of `nbytes` takes of the memory.

        That depends on nothing else, since the number of threads changes float32 sums in their last bit.
        """
        at_once = max(1, min(self.threads, MEMORY // nbytes))
        lent = -(-self.threads // at_once)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._free >= lent)
            if self._closed:
                raise _ClosedError
            self._free -= lent
        try:
            if torch.get_num_threads() != lent:  # setting it discards what oneDNN has prepared
                torch.set_num_threads(lent)
            yield
        finally:
            with self._changed:
                self._free += lent
                self._changed.notify_all()


class _ClosedError(Exception):
    """Nothing waits for this pass any more."""
