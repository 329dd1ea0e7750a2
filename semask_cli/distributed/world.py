"""The processes of a run under torchrun; without torchrun, a world of one."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread
from typing import TypeVar

from semask_cli.errors import UsageError, WorldError, printable

log = logging.getLogger(__name__)

_AGAIN = "Start the same command again: finished images are in the journal."
_VARIABLES = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """This process is `rank` of `size`, `local_rank` on its machine; `hosts` are the machines by rank.

    The processes need not share a disk: data for rank 0 is sent to it.
    """

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    hosts: tuple[str, ...] = ()

    def device(self, name: str) -> str:
        """The device for `name`: "auto" and "cuda" give each of several processes on a machine its own GPU."""
        if self.size == 1 or name not in ("auto", "cuda"):
            return name
        import torch

        return f"cuda:{self.local_rank % torch.cuda.device_count()}" if torch.cuda.is_available() else name

    def share(self, value: Value) -> Value:
        """Broadcast the value of rank 0; all processes call this.

        Raises:
            WorldError: another process has ended.
        """
        if self.size == 1:
            return value
        import torch.distributed as dist

        values = [value]
        try:
            dist.broadcast_object_list(values, src=0)
        except RuntimeError as error:
            raise WorldError("another process of this run has ended", _AGAIN) from error
        return values[0]

    def send(self, message: bytes) -> None:
        """Send a non-empty message from another rank to rank 0.

        Raises:
            WorldError: rank 0 has ended.
        """
        import torch
        import torch.distributed as dist

        try:
            dist.send(torch.tensor([len(message)]), dst=0)
            if message:
                dist.send(torch.frombuffer(bytearray(message), dtype=torch.uint8), dst=0)
        except RuntimeError as error:
            raise WorldError("the first process of this run has ended", _AGAIN) from error

    @contextmanager
    def gathering(self, handle: Callable[[bytes], object]) -> Iterator[None]:
        """On rank 0, call `handle` in threads with the others' messages, until all have left their own such block.

        Raises:
            WorldError: a process ended within its block; the message names it.
        """
        if self.rank > 0:
            yield
            self.send(b"")
            return
        failures: list[Exception] = []

        def receive(rank: int) -> None:
            try:
                for message in self._messages(rank):
                    handle(message)
            except Exception as error:
                failures.append(error)
                if isinstance(error, WorldError):  # logged at once: rank 0 continues with its own images
                    log.warning("%s", error.message)

        # Daemons, so that rank 0 does not wait for the others if it fails itself.
        threads = [Thread(target=receive, args=(rank,), daemon=True) for rank in range(1, self.size)]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _messages(self, rank: int) -> Iterator[bytes]:
        import torch
        import torch.distributed as dist

        while True:
            length = torch.zeros(1, dtype=torch.int64)
            try:
                dist.recv(length, src=rank)
                if not length:
                    return
                message = torch.empty(int(length), dtype=torch.uint8)
                dist.recv(message, src=rank)
            except RuntimeError as error:
                name = f"process {rank} of {self.size}, on {self.hosts[rank]},"
                raise WorldError(f"{name} has ended before its images were done", _AGAIN) from error
            yield message.numpy().tobytes()


def world_of_torchrun() -> World:
    """The world described by torchrun's environment variables, not connected.

    Raises:
        UsageError: they describe no world: the images of a process that does not exist would be left out.
    """
    texts = [os.environ.get(name) or default for name, default in _VARIABLES.items()]
    if all(re.fullmatch("[0-9]{1,9}", text) for text in texts):
        rank, local_rank, size = map(int, texts)
        if rank < size:
            return World(rank=rank, local_rank=local_rank, size=size)
    said = ", ".join(f"{name}={printable(text)}" for name, text in zip(_VARIABLES, texts, strict=True))
    raise UsageError(f"the environment describes no process of a run: {said}", "Unset these, or use torchrun.")


@contextmanager
def join_world() -> Iterator[World]:
    """Connect the processes started by torchrun, by gloo even on GPUs: only small messages are sent."""
    world = world_of_torchrun()
    if world.size == 1:
        yield world
        return
    import torch.distributed as dist

    # The slowest rank may take much longer than the fastest; torchrun ends all if one dies.
    with _stdout_to_stderr():
        dist.init_process_group("gloo", timeout=timedelta(days=7))
    try:
        hosts: list[str] = [""] * world.size
        dist.all_gather_object(hosts, socket.gethostname())
        yield World(rank=world.rank, local_rank=world.local_rank, size=world.size, hosts=tuple(hosts))
    finally:
        dist.destroy_process_group()


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Redirect file descriptor 1: gloo of torch 2.10 prints the peers it has found there, below Python."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
