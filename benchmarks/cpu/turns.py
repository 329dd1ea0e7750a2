"""Contenders that take turns, each in a process of its own, so that a machine whose speed drifts treats them alike."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Measured:
    """Seconds of each turn, and the most memory that the process has held, in bytes."""

    seconds: list[float] = field(default_factory=list)
    peak: int = 0


def run_in(root: Path, script: str, *arguments: object) -> Any:
    """What a script prints last, as JSON, when it runs with the revision of semask that is checked out in `root`."""
    command = [sys.executable, script, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def take_turns(commands: Mapping[str, Sequence[str]], *, turns: int) -> dict[str, Measured]:
    """What was measured of each contender, by its name; its command calls `answer`."""
    processes = {
        name: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name, command in commands.items()
    }
    found = {name: Measured() for name in commands}
    for turn in range(turns + 1):
        for name, process in processes.items():
            assert process.stdin
            assert process.stdout
            print(turn, file=process.stdin, flush=True)
            seconds, found[name].peak = json.loads(process.stdout.readline())
            if turn:  # all have warmed up at the same time: the first waits for the slowest, and does not count
                found[name].seconds.append(seconds)
    for process in processes.values():
        process.communicate()
    return found


def answer(run: Callable[[], object]) -> None:
    """Be a contender: `run` once to warm up, and for each line on stdin, whose answer is its seconds and peak bytes."""
    run()
    for _ in sys.stdin:
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
        print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]), flush=True)
