"""The processes that share an evaluation under torchrun; without torchrun, a world of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """This process is `rank` of `size`, `local_rank` on its machine; `barrier` returns when all have called it."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    barrier: Callable[[], object] = lambda: None

    def device(self, name: str) -> str:
        """`name`; of several processes on a machine, "auto" and "cuda" give each a GPU of its own, if there are any."""
        if self.size == 1 or name not in ("auto", "cuda"):
            return name
        import torch

        return f"cuda:{self.local_rank % torch.cuda.device_count()}" if torch.cuda.is_available() else name


@contextmanager
def join_world() -> Iterator[World]:
    """The world that torchrun's environment variables describe. It exchanges no data, so gloo serves on GPUs too."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    import torch.distributed as dist

    # The slowest rank may take much longer than the fastest; torchrun ends all of them when one dies.
    with _stdout_to_stderr():
        dist.init_process_group("gloo", timeout=timedelta(days=7))
    try:
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        yield World(rank=dist.get_rank(), local_rank=local_rank, size=size, barrier=dist.barrier)
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
