"""`semask compare`: several evaluations in one table and one page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semask_cli.output.percentages import format_percent

if TYPE_CHECKING:
    from semask_cli.evaluation.compare import Comparison


def compare(
    evaluations: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="What `semask eval --json` printed, or --report folders.")
    ],
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write a page to read, and its JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Set evaluations of one dataset beside each other: figures, classes, and the images on which they differ."""
    from semask_cli.evaluation.compare import compare as compare_evaluations
    from semask_cli.evaluation.compare import write_comparison

    comparison = compare_evaluations(evaluations)
    if report:
        print(f"report: {write_comparison(report, comparison)}", file=sys.stderr)
    if as_json:
        print(json.dumps(comparison.to_json(), ensure_ascii=False, indent=1))
    else:
        _print_comparison(comparison)


def _print_comparison(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from semask_cli.evaluation.metrics import DEFINITIONS

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("IoU")
    for name in comparison.names:
        table.add_column(Text(name), justify="right")
    table.add_column("spread", justify="right")
    for row in comparison.classes:
        figures = [Text(format_percent(f), "bold" if row.spread and f == row.best else "") for f in row.figures]
        table.add_row(Text(row.name), *figures, format_percent(row.spread))
    table.add_section()
    runs = comparison.runs
    summary = {
        "mAcc": [run.macc for run in runs],
        "aAcc": [run.aacc for run in runs],
        "fwIoU": [run.fwiou for run in runs],
        "published mIoU": [run.published for run in runs],
        "mIoU": list(comparison.mious),
    }
    for name, means in summary.items():
        table.add_row(name, *map(format_percent, means), "", style="bold green" if name == "mIoU" else "")
    changes = ["" if d is None else f"{d:+.2f}" for d in comparison.differences[1:]]
    table.add_row("to the first", "", *changes, "")
    console.print(table)
    for caution in comparison.cautions:
        console.print(Text(caution, "yellow"), soft_wrap=True)
    console.print(Text(DEFINITIONS[comparison.definition], "dim"), soft_wrap=True)
