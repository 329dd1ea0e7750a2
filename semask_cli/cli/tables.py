"""Tables on stdout. What is wider than the terminal, or a pipe, runs on in the next line: nothing is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_ANY_WIDTH = 10_000


def print_table(table: Table) -> None:
    """Print the table with every cell in one line."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(highlight=False)
    needed = Measurement.get(console, console.options.update(width=_ANY_WIDTH), table).maximum
    console.width = max(console.width, needed)
    console.print(table)
