"""What a folder of very many images costs beyond its network: to list, to begin, to go on after a kill.

    python -m benchmarks.cpu.million --record benchmarks/records/million.csv

Empty files stand for images and for their masks, in folders of a thousand. Each figure is of a process of its own: the
seconds until the first image is handed to the network, those for each image that is planned, the seconds in which a
journal of all of them is read, the microseconds for each image that is found done, and the memory that this takes above
what the imports do.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COUNTS = (1_000, 100_000, 1_000_000)
PER_FOLDER = 1000


def main() -> None:
    from benchmarks.cpu.record import record_parser, write_record

    parser = record_parser(__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    arguments = parser.parse_args()
    rows = []
    for count in arguments.counts:
        with tempfile.TemporaryDirectory() as name:
            album, output = Path(name) / "in", Path(name) / "out"
            for folder in (album, output):
                _write_files(folder, count, ".jpg" if folder == album else ".png")
            command = [sys.executable, __file__, "run", str(album), str(output)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=_environment())
            row = {"images": count, **json.loads(done.stdout)}
        print(row, flush=True)
        rows.append(row)
    write_record(arguments.record, rows)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def _write_files(root: Path, count: int, ending: str) -> None:
    for first in range(0, count, PER_FOLDER):
        folder = root / f"{first // PER_FOLDER:04d}"
        folder.mkdir(parents=True)
        for number in range(first, min(count, first + PER_FOLDER)):
            os.close(os.open(folder / f"{number}{ending}", os.O_CREAT | os.O_WRONLY))


def _run(album: str, output: str) -> None:
    """In the process that is measured."""
    from semask_cli.distributed.prediction import Run
    from semask_cli.distributed.run_journal import RunJournal
    from semask_cli.distributed.shards import Shard
    from semask_cli.io.inputs import find_inputs
    from semask_cli.io.storage import state
    from semask_cli.output.paths import plan_outputs

    before = _peak()
    began = time.perf_counter()
    tasks = plan_outputs(find_inputs([album]), Path(output), ["mask"])
    next(tasks)
    first_seconds = time.perf_counter() - began
    journal = RunJournal(Path(output), {"model": "none"}, shard=Shard())
    planned, began = 1, time.perf_counter()
    for _ in tasks:
        planned += 1
    planning = time.perf_counter() - began
    planning_memory = _peak() - before
    for task in plan_outputs(find_inputs([album]), Path(output), ["mask"]):
        assert isinstance(task.entry.path, Path)
        journal.note(task.entry.id, state(task.entry.path), task.files.values())
    journal.close()
    began = time.perf_counter()
    again = RunJournal(Path(output), {"model": "none"}, shard=Shard())
    reading = time.perf_counter() - began
    run = Run(plan_outputs(find_inputs([album]), Path(output), ["mask"]), journal=again)
    began = time.perf_counter()
    assert not list(run.pending())
    resuming = time.perf_counter() - began
    figures = {
        "first_image_seconds": f"{first_seconds:.2f}",
        "planning_us_an_image": f"{1e6 * planning / planned:.1f}",
        "planning_memory_mb": f"{planning_memory / 1e6:.0f}",
        "journal_reading_seconds": f"{reading:.2f}",
        "resuming_us_an_image": f"{1e6 * resuming / run.images:.1f}",
        "memory_mb": f"{(_peak() - before) / 1e6:.0f}",
    }
    print(json.dumps(figures))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        _run(*sys.argv[2:])
    else:
        main()
