"""Tables and JSON documents on stdout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_ANY_WIDTH = 10_000


def print_table(table: Table) -> None:
    """Print a table with each cell on one line. A row wider than the terminal wraps; nothing is cut off."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(highlight=False)
    needed = Measurement.get(console, console.options.update(width=_ANY_WIDTH), table).maximum
    console.width = max(console.width, needed)
    console.print(table)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document with its `schema_version`."""
    print(json.dumps({"schema_version": 1, **document}, ensure_ascii=False, indent=2))
