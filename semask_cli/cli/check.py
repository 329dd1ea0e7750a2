"""`semask check`: defects of a dataset folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semask_cli.cli.dataset_options import DatasetOptions
from semask_cli.cli.option_groups import AsJson, with_option_groups
from semask_cli.cli.printing import print_json, print_table
from semask_cli.errors import DatasetError

if TYPE_CHECKING:
    from rich.console import Console

    from semask_cli.datasets.check import CheckReport, Finding


@with_option_groups
def check(*, options: DatasetOptions, as_json: AsJson = False) -> None:
    """Find everything that would stop an evaluation or falsify its figures, and say how to fix it.

    Reads every image and label of the split once. `semask eval` does a quick part of it by itself.
    """
    dataset = options.find()
    from semask_cli.datasets.check import check as check_dataset
    from semask_cli.datasets.check import summary

    report = check_dataset(dataset)
    if as_json:
        print_json(report.to_json())
    else:
        from rich.console import Console

        console = Console()
        _print_histogram(report, console)
        _print_findings(report.findings, console)
    if fatal := report.fatal():
        raise DatasetError(f"{dataset.name} is not ready: {summary(fatal)}")


def _print_findings(findings: tuple[Finding, ...], console: Console) -> None:
    """Each kind of defect with its count, explanation and first examples."""
    from rich.text import Text

    from semask_cli.datasets.check import DEFECTS

    for finding in findings:
        colour = "red" if finding.fatal else "yellow"
        console.print(
            Text.assemble((f"{finding.kind}: {finding.count}", f"bold {colour}"), f"  {DEFECTS[finding.kind]}")
        )
        for example in finding.examples:
            console.print(Text(f"  {example}"), soft_wrap=True)
    if not any(finding.fatal for finding in findings):
        console.print("[bold green]ready[/]  nothing found that would stop an evaluation")


def _print_histogram(report: CheckReport, console: Console) -> None:
    """One line about the folder, and the labelled pixels of each class."""
    from rich.table import Table
    from rich.text import Text

    dataset = report.dataset
    labelled = int(report.pixels.sum())
    title = (
        f"{f'{dataset.name} {dataset.split}'.strip()}: {len(dataset.samples)} images, {report.inspected} labels read "
        f"({dataset.layout}, {dataset.encoding.name}) in {dataset.root}"
    )
    console.print(Text(title, "bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("index", "class", "pixels", "share", "images"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for index, name in enumerate(dataset.classes.classes):
        pixels = int(report.pixels[index])
        share = f"{100 * pixels / labelled:.3f} %" if labelled else ""
        style = "" if pixels else "dim"
        table.add_row(str(index), Text(name), f"{pixels:,}", share, str(report.images_with[index]), style=style)
    print_table(table)
    total = labelled + report.ignored
    console.print(f"ignored: {report.ignored:,} pixels" + (f" ({100 * report.ignored / total:.1f} %)" if total else ""))
