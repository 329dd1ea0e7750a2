"""Command lines in processes of their own that need not import torch: forks of a server that has done it.

A fork runs what `python -m semask_cli` runs, with its own arguments, environment, folder and streams, and can be
killed. The server computes nothing and has no threads. Only libraries of others are in it: the program is imported in
each fork.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.reduction import DupFd
from pathlib import Path
from threading import Thread
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
        stdin: IO[Any] | None = None,
        stdout: IO[Any] | None = None,
        stderr: IO[Any] | None = None,
    ) -> None:
        given = os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin.fileno())
        read, write = (None, os.dup(stdout.fileno())) if stdout else os.pipe()
        said = os.open(os.devnull, os.O_WRONLY) if stderr is None else os.dup(stderr.fileno())
        self.stdout = None if read is None else os.fdopen(read)
        self._process = _context.Process(
            target=_run,
            args=(list(map(str, arguments)), str(cwd), dict(environment), *map(_Stream, (given, write, said))),
            daemon=True,  # ends with pytest
        )
        self._process.start()
        os.close(given)
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


class _Stream:
    """A descriptor that goes to the server when the process starts: one that is killed before it has fetched its own
    would leave a pipe open here, whose reader waits for ever."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        return _itself, (DupFd(self._descriptor),)


def _itself(stream: Any) -> Any:
    return stream


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


def forked(act: Callable[[], object]) -> int:
    """The id of a fork of this very process, which runs `act`. A test that does this is marked `forks`."""
    if child := os.fork():
        return child
    code = 1
    try:
        act()
        code = 0
    finally:
        os._exit(code)


def exit_code(child: int) -> int:
    """Of a `forked` process, once it has ended: 0 where nothing was raised, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def forking_program(path: Path) -> Iterator[None]:
    """A program for shells at `path`, whose runs are forks with the shell's folder, environment and streams."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(f"{folder}/s", family=socket.AF_UNIX) as server:
        path.write_text(_PROGRAM.format(python=sys.executable, address=f"{folder}/s"))
        path.chmod(0o755)
        Thread(target=_serve, args=(server,), daemon=True).start()
        yield
        server.shutdown(socket.SHUT_RDWR)


_PROGRAM = """#!{python} -S
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect("{address}")
    socket.send_fds(server, [json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()], [0, 1, 2])
    code = int(server.recv(9))
sys.exit(code)
"""


def _serve(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:  # it was shut down
            return
        with client, ExitStack() as streams:
            asked, descriptors, *_ = socket.recv_fds(client, 1 << 20, 3)
            stdin, stdout, stderr = (streams.enter_context(open(each, "rb")) for each in descriptors)
            arguments, cwd, environment = json.loads(asked)
            code = Fork(*arguments, cwd=cwd, environment=environment, stdin=stdin, stdout=stdout, stderr=stderr).wait()
            client.send(str(code).encode())


def _run(arguments: list[str], cwd: str, environment: dict[str, str], *streams: Any) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream.detach(), number)
    os.closerange(3, 4096)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["semask", *arguments]
    runpy.run_module("semask_cli", run_name="__main__", alter_sys=True)
