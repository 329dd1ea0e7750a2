"""The kernels and the networks on a GPU: are they right, and how fast.

    python -m benchmarks.gpu --out DIR [--minutes M] [--only SECTION ...]

Sections run one after the other, those that say most first, each in a process of its own and within its own time: a
crash of the device costs one section. Each writes DIR/SECTION.csv, a line at a time, so that what is killed leaves what
it has measured; no file that is there is written again. Needs no network.

Exit code 1, with a list, where anything is wrong, crashes, or runs as a plain formulation that has a kernel.
`--tiny` runs through the sections at sizes that a CPU can do too (`--device cpu`).
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.gpu.sections import SECTIONS, failure, run_section
from semask_cli.io.resources import project_file

SECONDS = {
    "sanitizer": 90,
    "checks": 60,
    "labels": 60,
    "attention": 40,
    "networks": 120,
    "operators": 80,
    "folder": 60,
    "second": 40,
    "compile": 120,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=SECONDS, default=list(SECONDS), metavar="SECTION")
    parser.add_argument("--minutes", type=float, default=9, help="for everything")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes")
    parser.add_argument("--section", choices=SECTIONS, help="this one, in this process, for --minutes")
    arguments = parser.parse_args()
    deadline = time.monotonic() + 60 * arguments.minutes
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU: nothing was measured")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.section:
        # It runs where torch and safetensors are: no platformdirs to say where a user's own files would be.
        os.environ.setdefault("SEMASK_CACHE", tempfile.mkdtemp(prefix="semask-"))
        os.environ.setdefault("SEMASK_ZOO", str(project_file("weights.toml")))
        run_section(arguments.section, device, tiny=arguments.tiny, folder=arguments.out, deadline=deadline)
        return
    failures = []
    for section in arguments.only:
        seconds = min(SECONDS[section], deadline - time.monotonic())
        failures += _in_its_own_process(section, arguments, seconds) if seconds > 0 else []
    print(*failures, sep="\n", file=sys.stderr)
    sys.exit(1 if failures else 0)


def _in_its_own_process(section: str, arguments: argparse.Namespace, seconds: float) -> list[str]:
    """Runs a section, and returns what failed."""
    record = arguments.out / f"{section}.csv"
    if record.exists():
        return [f"{section}: {record} is there already; choose another --out"]
    options = ["--device", arguments.device, "--out", str(arguments.out), "--minutes", str(seconds / 60)]
    command = [sys.executable, "-m", "benchmarks.gpu", "--section", section, *options]
    try:
        # The section stops by itself; what hangs is killed.
        finished = subprocess.run([*command, *["--tiny"] * arguments.tiny], timeout=seconds + 30)
        ended = [] if finished.returncode == 0 else [f"{section}: ended with code {finished.returncode}"]
    except subprocess.TimeoutExpired:
        ended = [f"{section}: did not end"]
    text = record.read_text().splitlines() if record.exists() else []
    said = [line for line in csv.DictReader(text) if failure(line["note"])]
    what = (" ".join((line["name"], line["case"], line["precision"], line["note"])) for line in said)
    return [*ended, *(f"{section}: {words}" for words in what)]


if __name__ == "__main__":
    main()
