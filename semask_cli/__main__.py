"""The program: `semask`, and `python -m semask_cli` for torchrun.

Importing the commands takes a while, and Ctrl-C may come at any moment of it: this module imports nothing before it is
ready to handle it.
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
    """Run the command line and leave with its exit code; interrupted, with one line and code 130."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _unraisable
        from semask_cli.cli import main as run

        code = run()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: Ctrl-C while Python shuts down changes nothing
    except KeyboardInterrupt:
        _leave()
    sys.exit(code)


def _interrupt(_signal: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, except in an import: C++ that imports ends the process by it, or swallows it."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            _leave()
        frame = frame.f_back
    raise KeyboardInterrupt


def _unraisable(failure: sys.UnraisableHookArgs) -> None:
    """An interrupt that came in a finalizer, which Python would only print, ends the program as any other."""
    if failure.exc_type is KeyboardInterrupt:
        _leave()
    sys.__unraisablehook__(failure)


def _leave() -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not end in a traceback
    with contextlib.suppress(OSError, AttributeError, RuntimeError):  # RuntimeError: it came while stdout was written
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        os.write(2, b"interrupted\n")
    os._exit(128 + signal.SIGINT)  # Python's own exit would wait for threads, and be interrupted there


if __name__ == "__main__":
    main()
