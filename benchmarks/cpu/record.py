"""What the scripts share: the option --record, and the CSV files that it leaves behind."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from semask_cli.inference.versions import versions
from semask_cli.ops.cpu import processor


def record_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the option --record."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="write a CSV here")
    return parser


def write_record(path: Path | None, rows: Sequence[dict[str, Any]], *, keys: Sequence[str] = ()) -> None:
    """Write rows of one shape, and what they were measured with, as CSV; with no path, nothing.

    They replace what this processor measured before with the same `keys`. Other rows stay, above them.
    """
    if path is None:
        return
    libraries = versions()
    environment = {"date": datetime.now(UTC).date().isoformat(), "cpu": processor()}
    environment |= {name: libraries[name] for name in ("semask", "python", "torch")}
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    measured = [{**row, **environment} for row in rows]
    again = {tuple(row[key] for key in ("cpu", *keys)) for row in measured}
    others = [row for row in csv.DictReader(before) if tuple(row[key] for key in ("cpu", *keys)) not in again]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, measured[0], restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows([*others, *measured])
