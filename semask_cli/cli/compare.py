"""`semask compare`: several evaluations in one table and one page."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semask_cli.cli.dataset_options import DatasetOptions
from semask_cli.cli.option_groups import AsJson, refuse_options, with_option_groups
from semask_cli.cli.printing import print_table
from semask_cli.output.percentages import format_difference, format_percent

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from semask_cli.evaluation.compare import Comparison
    from semask_cli.evaluation.differences import Difference


@with_option_groups
def compare(
    context: typer.Context,
    evaluations: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Outputs of `semask eval --json`, or --report folders.")
    ],
    *,
    dataset_options: DatasetOptions,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The evaluation that the others are compared with; by default the first."),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write an HTML page and its JSON here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare evaluations of one dataset, and say which differences are significant.

    Differences are in percentage points, with a 95 % interval from a bootstrap over the images that both runs have.
    A star marks classes whose difference is significant after Holm's correction for the number of classes.

    With the dataset (-d, or --images) the page of --report shows the images on which the runs differ most:
    labels, predictions, and where each run is right. The runs must have kept their masks (--save-pred, or --pred).
    """
    from semask_cli.evaluation.compare import compare as compare_evaluations
    from semask_cli.evaluation.compare import write_comparison
    from semask_cli.evaluation.results import document_text

    if not report:
        names = [field.name for field in fields(DatasetOptions)]
        refuse_options(context, "a comparison without --report", names, "The page of --report shows its images.")
    comparison = compare_evaluations(evaluations, baseline=baseline)
    if report:
        page = write_comparison(report, comparison, dataset_options.find_if_named())
        print(f"report: {page}", file=sys.stderr)
    if as_json:
        print(document_text(comparison.to_json()))
    else:
        _print_comparison(comparison)


def _print_comparison(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.text import Text

    from semask_cli.evaluation.metrics import DEFINITIONS

    console = Console(highlight=False)
    print_table(_classes_table(comparison))
    for caution in comparison.cautions:
        console.print(Text(caution, "yellow"), soft_wrap=True)
    console.print(Text(DEFINITIONS[comparison.definition], "dim"), soft_wrap=True)
    console.print()
    for difference in comparison.differences:
        console.print(Text(difference.sentence, "bold"), soft_wrap=True)


def _classes_table(comparison: Comparison) -> Table:
    """Each run's IoU by class and its means, with the differences from the baseline."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("IoU")
    order = [comparison.baseline, *(difference.run for difference in comparison.differences)]
    runs = [comparison.runs[comparison.names.index(name)] for name in order]
    mious = [comparison.mious[comparison.names.index(name)] for name in order]
    for name in order:
        table.add_column(Text(name), justify="right")
        if name != comparison.baseline:
            table.add_column("difference", justify="right")
    for index, row in enumerate(comparison.classes):
        figures = [row.figures[comparison.names.index(name)] for name in order]
        differences = [difference.classes[index] for difference in comparison.differences]
        changes = [_change(d.iou) + ("*" if d.significant else " ") for d in differences]
        table.add_row(Text(row.name), *_alternating(map(format_percent, figures), changes))
    table.add_section()
    for title, name in (("mAcc", "macc"), ("aAcc", "aacc"), ("fwIoU", "fwiou"), ("mIoU", "miou")):
        figures = mious if name == "miou" else [getattr(run, name) for run in runs]
        changes = [f"{_change(getattr(difference, name))} " for difference in comparison.differences]
        style = "bold green" if name == "miou" else ""
        table.add_row(title, *_alternating(map(format_percent, figures), changes), style=style)
    if any(run.published is not None for run in runs):
        published = map(format_percent, [run.published for run in runs])
        table.add_row("published", *_alternating(published, [""] * len(comparison.differences)))
    return table


def _alternating(figures: Iterable[str], changes: Sequence[str]) -> Iterator[Text]:
    """The baseline's figure, then each run's with its change."""
    from rich.text import Text

    first, *others = figures
    yield Text(first)
    for figure, change in zip(others, changes, strict=True):
        yield Text(figure)
        yield Text(change)


def _change(difference: Difference) -> str:
    if difference.value is None:
        return "–"
    interval = difference.interval
    bounds = f" [{format_difference(interval.low)}, {format_difference(interval.high)}]" if interval else ""
    return f"{format_difference(difference.value)}{bounds}"
