"""How the benchmarks are asked, and leave their figures behind."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def record_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows --record."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="write a CSV here")
    return parser


def write_record(path: Path | None, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of one shape, and today's date, as CSV, in place of what stood there; with no path, nothing."""
    if path is None:
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        dated = [{**row, "date": datetime.now(UTC).date().isoformat()} for row in rows]
        writer = csv.DictWriter(file, dated[0])
        writer.writeheader()
        writer.writerows(dated)
