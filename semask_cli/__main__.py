"""The program: `semask`, and `python -m semask_cli` for torchrun.

Importing the commands takes a while, and Ctrl-C may come at any moment of it: this module imports nothing before it is
ready for that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    """Run the command line and leave with its exit code; interrupted, with one line and code 130."""
    try:
        from semask_cli.cli import main as run

        code = run()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: Ctrl-C in Python's own ending changes nothing
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one shall not be answered by a traceback
        with contextlib.suppress(OSError, AttributeError):
            sys.stdout.flush()
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(128 + signal.SIGINT)  # Python's own ending would wait for threads, and be interrupted there
    sys.exit(code)


if __name__ == "__main__":
    main()
