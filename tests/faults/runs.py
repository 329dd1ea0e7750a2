"""Whole runs of the program, killed at a random moment, on a full disk or let down by the system, and run again.

After each: no half file under a final name, nothing left behind but what the next run removes, one of the documented
exit codes, no traceback; and the run after it gives, byte for byte, what an undisturbed one gives.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from semask_cli.io.resources import project_file
from tests.faults.case import Fault
from tests.support.forking import Fork
from tests.support.host_kernels import compiler

CODES = {0, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 20, 21, 30, 40, 130}
IMAGES = 3
_SCENES = project_file("demo")
_COMMANDS = {
    "predict": ("predict", "images", "-o", "out", "--save", "mask,overlay,json"),
    "eval": ("eval", "--images", "images", "--labels", "labels", "--classes", "classes.txt",
             "--journal", "out/journal", "--save-pred", "out/masks", "--report", "out/report"),
}  # fmt: skip


def kill_case(draw: random.Random, folder: Path) -> str:
    command = draw.choice(tuple(_COMMANDS))
    expected, seconds = undisturbed(command)
    run = _start(command, folder)
    time.sleep(draw.uniform(0.2, 1.1) * seconds)
    done = run.poll() is not None
    sent = draw.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    if not done:
        run.send_signal(sent)
    run.communicate()
    said = _said(folder)
    if "Traceback" in said or run.returncode not in (0, 130 if sent == signal.SIGINT else -sent):
        raise Fault(f"{command} after {sent.name}: exit {run.returncode}: {said[-300:]}")
    _again(command, folder, expected)
    return "was done" if done else "killed"


def system_case(draw: random.Random, folder: Path) -> str:
    """One call in the run's folder fails: the disk is full, breaks, or is not ours."""
    command = draw.choice(tuple(_COMMANDS))
    expected, _ = undisturbed(command)
    call, error = draw.choice(("write", "open", "rename", "fsync", "mkdir")), draw.choice((28, 5, 13))
    fails = f"{call} {draw.randrange(1, 9)} {error}"
    arguments, settings = _prepared(command, folder)
    settings |= {"LD_PRELOAD": shim(), "FAULT": fails, "FAULT_FOLDER": str(folder / "out")}
    with (folder / "said").open("w") as said:
        started = [sys.executable, "-m", "semask_cli", *arguments]
        run = subprocess.run(started, cwd=folder, env=settings, stdout=subprocess.DEVNULL, stderr=said, check=False)
    outcome = _ended_in_words(run.returncode, f"{command} with {fails}", folder, expected)
    _again(command, folder, expected)
    return outcome


def full_disk_case(draw: random.Random, folder: Path) -> str:
    """The results go to a disk that is too small for them, most often; then it grows. Needs a right to mount."""
    command = draw.choice(tuple(_COMMANDS))
    expected, _ = undisturbed(command)
    (folder / "out").mkdir()
    size = draw.randrange(1, 80)  # pages of 4 KiB; the results of a run take about 60
    _mount(folder / "out", f"size={size * 4}k")
    try:
        outcome = _ended_in_words(_finished(command, folder), f"{command} in {size * 4} KiB", folder, expected)
        _mount(folder / "out", "remount,size=64m")
        _again(command, folder, expected)
    finally:
        subprocess.run(["umount", "--lazy", str(folder / "out")], check=True)
    return outcome


def _mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)


def _ended_in_words(code: int | None, what: str, folder: Path, expected: dict[str, str]) -> str:
    """The exit code of a run that may have failed, in order."""
    said = _said(folder)
    if "Traceback" in said or code not in CODES:
        raise Fault(f"{what}: exit {code}: {said[-300:]}")
    if code == 0 and found(folder) != expected:
        raise Fault(f"{what}: exit 0, but its files are others")
    if parts := list((folder / "out").rglob("*.part")):
        raise Fault(f"{what}: left {parts[0].name}")
    return f"exit {code}"


@cache
def undisturbed(command: str) -> tuple[dict[str, str], float]:
    """What the command writes when nothing happens, and how long it takes."""
    folder = Path(os.environ["FAULTS_FOLDER"]) / f"undisturbed-{command}"
    folder.mkdir()
    began = time.monotonic()
    if _finished(command, folder):
        raise Fault(f"undisturbed {command}: {_said(folder)[-300:]}")
    return found(folder), time.monotonic() - began


def _start(command: str, folder: Path) -> Fork:
    arguments, settings = _prepared(command, folder)
    with (folder / "said").open("w") as said:
        return Fork(*arguments, cwd=folder, environment=settings, stderr=said)


def _finished(command: str, folder: Path) -> int | None:
    run = _start(command, folder)
    run.communicate()
    return run.returncode


def _said(folder: Path) -> str:
    return (folder / "said").read_text()


def _prepared(command: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment of a run, whose inputs are laid out."""
    for name in ("images", "labels"):
        (folder / name).mkdir(exist_ok=True)
        for file in sorted((_SCENES / name).iterdir())[:IMAGES]:
            shutil.copy(file, folder / name)
    shutil.copy(_SCENES / "toy-street.txt", folder / "classes.txt")
    settings = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "SEMASK_CACHE": str(folder / "cache")}
    return [*_COMMANDS[command], "-m", "toy-street-fpn", "--threads", "1"], settings


def _again(command: str, folder: Path, expected: dict[str, str]) -> None:
    if code := _finished(command, folder):
        raise Fault(f"{command} again: exit {code}: {_said(folder)[-300:]}")
    if (files := found(folder)) != expected:
        different = sorted(name for name in files.keys() | expected.keys() if files.get(name) != expected.get(name))
        raise Fault(f"{command} again: {different[:3]} differ")


def found(folder: Path) -> dict[str, str]:
    """The digest of every file below out/, but of those that hold times, and of what a kill may leave behind."""
    files = (path for path in sorted((folder / "out").rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.suffix not in (".json", ".jsonl", ".html", ".part")
    }


@cache
def shim() -> str:
    """The library that lets system calls fail, compiled once."""
    library = Path(os.environ["FAULTS_FOLDER"]) / "shim.so"
    source = Path(__file__).with_name("shim.c")
    command = [compiler() or "cc", "-x", "c", "-shared", "-fPIC", "-O1", str(source), "-o", str(library), "-ldl"]
    subprocess.run(command, check=True)
    return str(library)
