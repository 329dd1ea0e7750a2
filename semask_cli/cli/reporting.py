"""Messages on stderr: the progress of a run, what went wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from semask_cli.errors import SemaskError


@contextmanager
def counting() -> Iterator[Callable[[int, str], None]]:
    """Shows how many are done, with words before the number, from the second on, where stderr is a terminal."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda count, words: bar.update(task, completed=count, description=words, visible=count > 1)


def report(error: SemaskError) -> None:
    """Print the error in a line, and its suggestion in another."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    # Text, not markup: messages hold file names such as [a].png.
    console.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
    if error.suggestion:
        console.print(Text(error.suggestion, style="dim"), soft_wrap=True)
