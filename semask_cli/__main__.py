"""The entry point: `semask`, and `python -m semask_cli` for torchrun.

Importing the commands takes a while, during which Ctrl-C may come: nothing is imported before it is handled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Run the command line and exit with its code; on Ctrl-C, print one line and exit with 130."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _unraisable
        from semask_cli.cli import main as run

        code = run()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # done: ignore Ctrl-C while Python shuts down
    except KeyboardInterrupt:
        _leave()
    sys.exit(code)


def _interrupt(_signal: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; during an import, exit: C++ code that imports would abort, or swallow it."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            _leave()
        frame = frame.f_back
    raise KeyboardInterrupt


def _unraisable(failure: sys.UnraisableHookArgs) -> None:
    """Exit on an interrupt in a finalizer, which Python would only print."""
    if failure.exc_type is KeyboardInterrupt:
        _leave()
    sys.__unraisablehook__(failure)


def _leave() -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not print a traceback
    with contextlib.suppress(OSError, AttributeError, RuntimeError):  # RuntimeError: interrupted while writing stdout
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        os.write(2, b"interrupted\n")
    os._exit(128 + signal.SIGINT)  # sys.exit would wait for threads, and could be interrupted there


if __name__ == "__main__":
    main()
