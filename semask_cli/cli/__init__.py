"""The command line: one file a command, which parses, calls the library and prints.

Gets arguments. Gives results on stdout, words for people on stderr, and an exit code. Knows no tensors and takes no
decisions. Importing this imports no torch: commands import what they need when they run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from semask_cli import __version__
from semask_cli.cli.bench import bench
from semask_cli.cli.check import check
from semask_cli.cli.classes import classes
from semask_cli.cli.compare import compare
from semask_cli.cli.demo import demo
from semask_cli.cli.doctor import doctor
from semask_cli.cli.download import download
from semask_cli.cli.eval import evaluate
from semask_cli.cli.models import models
from semask_cli.cli.predict import predict
from semask_cli.cli.reporting import report
from semask_cli.errors import SemaskError

INTERRUPTED = 130

app = typer.Typer(
    name="semask",
    help="Segment images with the published SeMask models, and measure them on datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "predict": predict,
    "eval": evaluate,
    "check": check,
    "compare": compare,
    "download": download,
    "models": models,
    "classes": classes,
    "doctor": doctor,
    "bench": bench,
    "demo": demo,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)


def _show_version(requested: bool) -> None:
    if requested:
        print(f"semask {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. A failure that a user can act on is told in a line or two, and is the exit code."""
    try:
        app()
    except SemaskError as error:
        report(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has left. Python would complain once more while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
