"""The kernels and the networks on a GPU: are they right, and how fast.

    python -m benchmarks.gpu [--minutes M] [--only SECTION ...]

Checks every kernel against float64 on fresh random inputs, times the kernels beside the usual formulations and the
networks beside transformers' Mask2Former (where that is installed), and writes benchmarks/records/gpu.csv, a line at a
time. Needs no network. Operators are timed inside CUDA graphs, over inputs that rotate through more memory than an L2
cache has.

Lines that could not be measured say so; without a GPU that is all of them. `--tiny` runs through the script at sizes
that a CPU can do too (`--device cpu`), and writes no record.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch

import semask_cli
from benchmarks.gpu.bench import Bench, Cases, Line, Measured, peaks
from benchmarks.gpu.networks import networks
from benchmarks.gpu.operators import WRONG, checks, times
from semask_cli.io.resources import project_file
from semask_cli.ops.bindings import KernelError, call
from semask_cli.ops.nvrtc import nvrtc_version

RECORD = Path(__file__).parents[1] / "records" / "gpu.csv"
SECTIONS: dict[str, Callable[[Bench], Cases]] = {
    "peaks": peaks,
    "checks": checks,
    "operators": times,
    "networks": networks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--minutes", type=float, default=9, help="begin no measurement after that")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes, no record")
    arguments = parser.parse_args()
    # It runs where torch, timm and safetensors are: no platformdirs to say where a user's own files would be.
    os.environ.setdefault("SEMASK_CACHE", tempfile.mkdtemp(prefix="semask-"))
    os.environ.setdefault("SEMASK_ZOO", str(project_file("weights.toml")))

    device = torch.device(arguments.device)
    present = device.type != "cuda" or torch.cuda.is_available()
    bench = Bench(device, tiny=arguments.tiny)
    deadline = time.monotonic() + 60 * arguments.minutes
    failed = 0
    with _record(None if arguments.tiny else RECORD) as write:
        for line in _machine(device, present=present):
            write(line)
        for section in arguments.only:
            for line, measure in SECTIONS[section](bench):
                if not present:
                    result = {"note": "not measured: no GPU"}
                elif time.monotonic() > deadline:
                    result = {"note": "not measured: out of time"}
                else:
                    result = _attempt(measure)
                write(replace(line, **result))
                failed += WRONG in str(result.get("note"))
    sys.exit(f"{failed} checks failed" if failed else 0)


def _attempt(measure: Callable[[], Measured]) -> Measured:
    """What was measured, or why it could not be: one line less shall not cost the others."""
    try:
        return measure()
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return {"note": f"not measured: {reason[:200]}"}


def _machine(device: torch.device, *, present: bool) -> Iterator[Line]:
    facts = {
        "semask": semask_cli.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "nvrtc": _version(nvrtc_version),
        "driver, newest CUDA": _version(lambda: str(call("cuDriverGetVersion"))),
        "device": torch.cuda.get_device_name(device) if present and device.type == "cuda" else "no GPU",
    }
    for name, value in facts.items():
        yield Line(section="machine", name=name, note=value)


def _version(version: Callable[[], str]) -> str:
    try:
        return version()
    except KernelError:
        return "none"


@contextmanager
def _record(path: Path | None) -> Iterator[Callable[[Line], None]]:
    """A function that prints a line and writes it to the file at once."""
    names = [field.name for field in fields(Line)]
    file = path.open("w", newline="") if path else None
    writer = csv.DictWriter(file, names) if file else None
    if writer:
        writer.writeheader()

    def write(line: Line) -> None:
        row = {
            name: f"{value:.4g}" if isinstance(value, float) else "" if value is None else value
            for name, value in asdict(line).items()
        }
        print("  ".join(str(value) for value in row.values() if value != ""), flush=True)
        if writer and file:
            writer.writerow(row)
            file.flush()

    try:
        yield write
    finally:
        if file:
            file.close()


if __name__ == "__main__":
    main()
