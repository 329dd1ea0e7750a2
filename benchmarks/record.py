"""How the benchmarks leave their figures behind."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_record(path: Path | None, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of one shape as CSV, in place of what stood there; with no path, nothing."""
    if path is None:
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
