"""The processes that share an evaluation under torchrun; alone, a team of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """This process is `rank` of `size`, `local_rank` on its machine; `wait` returns when all have called it."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    wait: Callable[[], object] = lambda: None


@contextmanager
def team() -> Iterator[Team]:
    """The team that torchrun's environment variables describe. It exchanges no data, so gloo serves on GPUs too."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    import torch.distributed as dist

    # The slowest rank may take much longer than the fastest; torchrun ends all of them when one dies.
    with _stdout_to_stderr():
        dist.init_process_group("gloo", timeout=timedelta(days=7))
    try:
        yield Team(
            rank=dist.get_rank(), local_rank=int(os.environ.get("LOCAL_RANK", "0")), size=size, wait=dist.barrier
        )
    finally:
        dist.destroy_process_group()


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Stdout is for results, and gloo of torch 2.10 tells there, below Python, which peers it has found."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
