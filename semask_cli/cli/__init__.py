"""The command line: one file per command, which parses options, calls the library and prints.

Results go to stdout, messages to stderr. No tensors and no decisions here. Importing this does not import torch:
commands import what they need when they run.

    NAME.py                 the command `semask NAME`; `predict` continues in images.py, video.py or raster.py
    *_options.py            options shared by several commands; option_groups.py makes them parameters
    local_paths.py          options for files of this machine refuse the addresses of stores
    completion.py           shell completion
    printing.py             tables and JSON on stdout; reporting.py: progress and errors on stderr
    eval_output.py          the output of `eval`
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from semask_cli.cli.bench import bench
from semask_cli.cli.check import check
from semask_cli.cli.classes import classes
from semask_cli.cli.compare import compare
from semask_cli.cli.demo import demo
from semask_cli.cli.doctor import doctor
from semask_cli.cli.download import download
from semask_cli.cli.eval import evaluate
from semask_cli.cli.export import export
from semask_cli.cli.local_paths import Command
from semask_cli.cli.models import models
from semask_cli.cli.predict import predict
from semask_cli.cli.quantize import quantize
from semask_cli.cli.reporting import report
from semask_cli.cli.status import status
from semask_cli.errors import INTERRUPTED, DeviceError, OutputError, SemaskError
from semask_cli.version import __version__

_LESS_MEMORY = "Use a smaller model, or --mode slide --scales native for a large image."

app = typer.Typer(
    name="semask",
    help="Segment images with the published SeMask models, and evaluate them on datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "predict": predict,
    "eval": evaluate,
    "check": check,
    "compare": compare,
    "download": download,
    "export": export,
    "quantize": quantize,
    "models": models,
    "classes": classes,
    "status": status,
    "doctor": doctor,
    "bench": bench,
    "demo": demo,
}
for _name, _command in _COMMANDS.items():
    app.command(_name, cls=Command)(_command)


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


def main() -> int:
    """Run the command line and return the exit code. Errors that a user can act on are printed without a traceback.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
    """
    _prepare_streams()
    _quiet_libraries()
    _share_cores()
    try:
        code = _run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except SemaskError as error:
        return _fail(error)
    except BrokenPipeError:  # the reader of stdout is gone
        _give_up_stdout()
        return 1
    except MemoryError:
        return _fail(DeviceError("out of memory", _LESS_MEMORY))
    except ImportError as error:
        return _fail(_unloadable(error))
    except OSError as error:
        if error.errno is None:  # ctypes: a library cannot be loaded
            return _fail(_unloadable(error))
        if error.filename is None:
            _give_up_stdout()
        place = "write to standard output" if error.filename is None else f"use {error.filename}"
        return _fail(OutputError(f"cannot {place}: {error.strerror}"))
    return code


def _run() -> int:
    """The exit code of Typer, which prints errors in the arguments itself."""
    try:
        app()
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            raise KeyboardInterrupt from leaving
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0


def _unloadable(error: Exception) -> DeviceError:
    return DeviceError(f"a library cannot be loaded: {error}", "Check the free memory, or install it again.")


def _fail(error: SemaskError) -> int:
    report(error)
    return error.exit_code


def _prepare_streams() -> None:
    """Allow any file name to be printed: bytes that are not UTF-8 become \\udc.., which JSON reads back."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _quiet_libraries() -> None:
    """Hide the warnings and log lines of libraries, and print our own as plain lines."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    ours, handler = logging.getLogger("semask_cli"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours.addHandler(handler)


def _share_cores() -> None:
    """Let threads of libraries that wait for each other sleep soon, where other programs and images want the cores.

    libgomp's spin for 20 ms, so for one: beside a busy program a pass of a network took eight times as long as alone,
    now twice. OpenBLAS' spin too, after products that are too small for several threads (docs/speed.md). Both read
    these when torch and numpy load them.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _give_up_stdout() -> None:
    """Redirect stdout to nowhere: otherwise Python would fail again while closing it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
