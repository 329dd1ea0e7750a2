"""What is measured on a GPU, by section; and how a section is run: a line of its record at a time."""

from __future__ import annotations

import csv
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from itertools import chain
from pathlib import Path

import torch

import semask_cli
from benchmarks.gpu.attention import attention
from benchmarks.gpu.bench import WRONG, Bench, Cases, Line, Measured, peaks
from benchmarks.gpu.engine import folder_rate, labels, sanitizer
from benchmarks.gpu.networks import compiled, networks
from benchmarks.gpu.norms import norm_checks, norm_times
from benchmarks.gpu.operators import checks, times
from benchmarks.gpu.second_device import second_device
from semask_cli.ops.bindings import KernelError, call
from semask_cli.ops.nvrtc import nvrtc_version

SECTIONS: dict[str, Callable[[Bench], Cases]] = {
    "sanitizer": sanitizer,
    "checks": lambda bench: chain(checks(bench), norm_checks(bench)),
    "labels": labels,
    "attention": attention,
    "networks": lambda bench: chain(peaks(bench), networks(bench)),
    "operators": lambda bench: chain(peaks(bench), times(bench), norm_times(bench)),
    "folder": folder_rate,
    "second": second_device,
    "compile": compiled,
}
FAILED, MISSED = "failed", "not measured"


def run_section(name: str, device: torch.device, *, tiny: bool, folder: Path, deadline: float) -> None:
    """Writes folder/NAME.csv, which must not be there. Nothing is begun after `deadline`, by time.monotonic()."""
    bench = Bench(device, tiny=tiny, folder=folder)
    with (folder / f"{name}.csv").open("x", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Line)], lineterminator="\n")
        writer.writeheader()

        def write(line: Line) -> None:
            row = {
                key: f"{value:.4g}" if isinstance(value, float) else "" if value is None else value
                for key, value in asdict(line).items()
            }
            print("  ".join(str(value) for value in row.values() if value != ""), flush=True)
            writer.writerow(row)
            file.flush()

        for line in _machine(device):
            write(line)
        for line, measure in SECTIONS[name](bench):
            late = time.monotonic() > deadline
            write(replace(line, **({"note": f"{MISSED}: out of time"} if late else _attempt(measure))))


def failure(note: str) -> bool:
    """Whether a line's note says that something is wrong. What is not installed or out of time is not."""
    return note.startswith((WRONG, FAILED))


def _attempt(measure: Callable[[], Measured]) -> Measured:
    """What was measured, or why it could not be: a line that fails must not cost the others."""
    try:
        return measure()
    except ImportError as error:
        return {"note": f"{MISSED}: {error.name} is not installed"}
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return {"note": f"{FAILED}: {reason[:200]}"}


def _machine(device: torch.device) -> Iterator[Line]:
    facts = {
        "semask": semask_cli.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "nvrtc": _version(nvrtc_version),
        "driver, newest CUDA": _version(lambda: str(call("cuDriverGetVersion"))),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU",
    }
    for name, value in facts.items():
        yield Line(section="machine", name=name, note=value)


def _version(version: Callable[[], str]) -> str:
    try:
        return version()
    except KernelError:
        return "none"
