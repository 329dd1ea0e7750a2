"""How a failure is told to a person: on stderr, what happened and what to do about it."""

from __future__ import annotations

from semask_cli.errors import SemaskError


def report(error: SemaskError) -> None:
    """Print the error in a line, and the way out in another."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    # Text, not markup: messages hold file names such as [a].png.
    console.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
    if error.suggestion:
        console.print(Text(error.suggestion, style="dim"), soft_wrap=True)
