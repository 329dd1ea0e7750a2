"""Messages on stderr: progress, and errors with their suggestions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from semask_cli.errors import SemaskError


@contextmanager
def counting() -> Iterator[Callable[[int, str], None]]:
    """A callback (count, description) that shows progress on a terminal, from the second item on."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda count, words: bar.update(task, completed=count, description=words, visible=count > 1)


@contextmanager
def fetching(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A callback (bytes received, total bytes or None): a progress bar on a terminal, else one line on stderr."""
    from rich.console import Console
    from rich.filesize import decimal
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
    task = bar.add_task(name, total=None)
    announced = False

    def progress(received: int, total: int | None) -> None:
        nonlocal announced
        if not announced and console.is_terminal:
            bar.start()
        elif not announced:
            size = decimal(total) if total else "of unknown size"
            print(f"fetching {name} ({size})", file=sys.stderr)
        announced = True
        bar.update(task, completed=received, total=total)

    try:
        yield progress
    finally:
        if bar.live.is_started:
            bar.stop()


def report(error: SemaskError) -> None:
    """Print an error, and its suggestion on the next line."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    # Text, not markup: messages hold file names such as [a].png.
    console.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
    if error.suggestion:
        console.print(Text(error.suggestion, style="dim"), soft_wrap=True)
