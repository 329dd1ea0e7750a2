"""Command lines in processes of their own that need not import torch: forks of a server that has done it.

A fork runs what `python -m semask_cli` runs, with its own arguments, environment, folder and streams, and can be
killed. The server computes nothing and has no threads. Only libraries of others are in it: the program is imported in
each fork.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

_LIBRARIES = ("torch", "torch.distributed", "cv2", "PIL.Image", "scipy.io", "typer", "rich.console", "requests")
_context = get_context("forkserver")
_context.set_forkserver_preload(list(_LIBRARIES))


class Fork:
    """A command line that runs, as `subprocess.Popen` shows one; `stdout` is to be read, unless a file was given."""

    def __init__(
        self,
        *arguments: str | Path,
        cwd: Path,
        environment: Mapping[str, str] = os.environ,
        stdout: IO[Any] | None = None,
        stderr: IO[Any] | None = None,
    ) -> None:
        read, write = (None, os.dup(stdout.fileno())) if stdout else os.pipe()
        said = os.open(os.devnull, os.O_WRONLY) if stderr is None else os.dup(stderr.fileno())
        self.stdout = None if read is None else os.fdopen(read)
        self._process = _context.Process(
            target=_run,
            args=(list(map(str, arguments)), str(cwd), dict(environment), DupFd(write), DupFd(said)),
            daemon=True,  # ends with pytest
        )
        self._process.start()
        os.close(write)
        os.close(said)

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def communicate(self) -> tuple[str, None]:
        """What it prints from now on, once it has ended."""
        printed = self.stdout.read() if self.stdout else ""
        self.wait()
        return printed, None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def finished_fork(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """A command line that has run, with what it has printed."""
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as said:
        fork = Fork(*arguments, cwd=cwd, environment=environment, stdout=printed, stderr=said)
        code = fork.wait()
        printed.seek(0)
        said.seek(0)
        return subprocess.CompletedProcess(arguments, code, printed.read(), said.read())


def _run(arguments: list[str], cwd: str, environment: dict[str, str], stdout: Any, stderr: Any) -> None:
    os.dup2(stdout.detach(), 1)
    os.dup2(stderr.detach(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, 4096)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["semask", *arguments]
    runpy.run_module("semask_cli", run_name="__main__", alter_sys=True)
