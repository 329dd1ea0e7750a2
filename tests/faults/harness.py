"""Runs cases in worker processes, which may crash or hang, and counts."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")  # anyone may mount there, and it ends with the worker
HANG = 300.0  # seconds without a word; the first case of some kinds takes a while


@dataclass(slots=True)
class Tally:
    """What came of the cases of a kind: how often each outcome, and the faults by the number of their case."""

    kind: str
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)

    @property
    def tried(self) -> int:
        return self.outcomes.total() + len(self.faults)


def run(kind: str, count: int, *, seed: int) -> Tally:
    """`count` cases of a kind; case n of a seed is always the same."""
    tally, done = Tally(kind), 0
    while done < count:
        done = _work(tally, done, count, seed)
    return tally


def _work(tally: Tally, start: int, stop: int, seed: int) -> int:
    """Cases from `start` on until the worker ends; returns the first that was not tried."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "FAULTS_FOLDER": folder, "OMP_NUM_THREADS": "1", "SEMASK_OFFLINE": "1"}
        command = [sys.executable, "-W", "ignore", "-m", "tests.faults.worker", tally.kind]
        command += map(str, (seed, start, stop))
        if tally.kind == "full disks":
            command = [*OWN_MOUNTS, *command]
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert worker.stdout is not None
        done = start
        while True:
            ready, _, _ = select.select([worker.stdout], [], [], HANG)
            line = worker.stdout.readline() if ready else b""
            if not line:
                break
            number, outcome = json.loads(line)
            if outcome.startswith("FAULT"):
                tally.faults[number] = outcome.removeprefix("FAULT ")
            else:
                tally.outcomes[outcome] += 1
            done = number + 1
        if done < stop:
            hung = worker.poll() is None and not ready
            worker.kill()
            tally.faults[done] = "hang" if hung else f"crash: exit {worker.wait()}"
            done += 1
        worker.wait()
        return done
