"""A process that runs cases of one kind and says of each what came of it. A crash takes this process alone."""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.faults.case import Fault
from tests.faults.kinds import KINDS

MEMORY = 1 << 20  # KiB above what the process held when it began
WHOLE_RUNS = ("kills", "system calls", "full disks")


def main(kind: str, seed: int, start: int, stop: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in the background
    case = KINDS[kind]
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # as the command line does
    results = os.fdopen(os.dup(1), "w", buffering=1)
    with tempfile.TemporaryFile() as errors:
        os.dup2(errors.fileno(), 2)  # what libraries say past Python is noticed, too
        if kind not in WHOLE_RUNS:  # which happen in other processes
            _outcome(case, random.Random(0))  # imports and caches
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        errors.truncate(0)
        for number in range(start, stop):
            began = time.monotonic()
            outcome = _outcome(case, random.Random(f"{kind} {seed} {number}"))
            if time.monotonic() - began > (120 if kind in WHOLE_RUNS else 10):
                outcome = f"FAULT slow: {time.monotonic() - began:.0f} s"
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            if grown > MEMORY:
                outcome, before = f"FAULT memory: {grown >> 10} MiB", before + grown
            if said := _said(errors):
                outcome = f"FAULT stderr: {said[-200:]!r}"
            print(json.dumps([number, outcome]), file=results)


def _outcome(case, draw: random.Random) -> str:  # type: ignore[no-untyped-def]
    try:
        with tempfile.TemporaryDirectory() as folder:
            return case(draw, Path(folder))
    except Fault as fault:
        return f"FAULT {fault}"
    except Exception:
        return f"FAULT traceback: {traceback.format_exc().strip()[-300:]}"


def _said(errors) -> str:  # type: ignore[no-untyped-def]
    sys.stderr.flush()
    size = os.fstat(errors.fileno()).st_size
    if not size:
        return ""
    said = os.pread(errors.fileno(), size, 0)
    os.ftruncate(errors.fileno(), 0)
    os.lseek(errors.fileno(), 0, os.SEEK_SET)
    return said.decode(errors="replace")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
