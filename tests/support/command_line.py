"""The real command line, as the tests run it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.support.forking import Fork

Run = Callable[..., subprocess.CompletedProcess[str]]
"""The type of the `semask` fixture."""

Browse = Callable[..., str]
"""The type of the `browse` fixture: browse(page, "--dump-dom") -> the page's DOM."""


def start(*arguments: str | Path) -> Fork:
    """Start semask; the caller waits for its end."""
    return Fork(*arguments, cwd=Path.cwd())


def start_shared(processes: int, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start as many of semask as `processes` says, under torchrun; the caller waits for their end."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launcher, "-m", "semask_cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def start_rank(rank: int, port: int, *arguments: object, cwd: Path, said: IO[str] | None = None) -> Fork:
    """What torchrun starts for a process of two, which meet at `port`. Each has a cache of its own in `cwd`."""
    variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": 0}
    variables |= {**os.environ, "SEMASK_CACHE": cwd / "cache"}
    return Fork(
        *map(str, arguments), cwd=cwd, environment={key: str(value) for key, value in variables.items()}, stderr=said
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def measured(printed: str) -> dict[str, Any]:
    """What an evaluation's document says, without how long it took and on what: equal for equal evaluations."""
    document = json.loads(printed)
    assert document.pop("run")
    return document


def journal_lines(journal: Path) -> int:
    """How many lines the journal has in all: a header for each process, and a line for each image."""
    return sum(file.read_bytes().count(b"\n") for file in journal.glob("*.jsonl"))


def wait_for_lines(process: subprocess.Popen[str] | Fork, journal: Path, count: int) -> None:
    """Wait until the running evaluation has brought its journal to `count` lines."""
    while journal_lines(journal) < count:
        assert process.poll() is None
        time.sleep(0.001)
