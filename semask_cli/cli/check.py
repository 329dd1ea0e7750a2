"""`semask check`: what is wrong with a dataset folder, before any model is loaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semask_cli.cli.dataset_options import (
    ClassFile,
    DatasetName,
    Images,
    LabelCoding,
    Labels,
    Root,
    Split,
    chosen_dataset,
)
from semask_cli.errors import DatasetError

if TYPE_CHECKING:
    from rich.console import Console

    from semask_cli.datasets.check import CheckReport, Finding


def check(
    dataset: DatasetName = None,
    root: Root = None,
    split: Split = None,
    images: Images = None,
    labels: Labels = None,
    class_file: ClassFile = None,
    label_coding: LabelCoding = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Look for everything that would stop an evaluation or falsify its figure, and say how to mend it.

    Reads every image and every label of the split once. `semask eval` does the quick part of it by itself.
    """
    chosen = chosen_dataset(
        dataset, root=root, split=split, images=images, labels=labels, class_file=class_file, coding=label_coding
    )
    from semask_cli.datasets.check import check as inspect

    report = inspect(chosen)
    if as_json:
        print(json.dumps(_document(report), indent=2))
    else:
        from rich.console import Console

        console = Console()
        print_histogram(report, console)
        print_findings(report.findings, console)
    if fatal := report.fatal():
        raise DatasetError(f"{chosen.name} is not ready: {counted(fatal)}")


def counted(findings: tuple[Finding, ...]) -> str:
    """The findings in a line: "3 missing-label, 1 size"."""
    return ", ".join(f"{finding.count} {finding.kind}" for finding in findings)


def print_findings(findings: tuple[Finding, ...], console: Console) -> None:
    """Each kind of defect with its count, what it means and how to mend it, and its first examples."""
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


def print_histogram(report: CheckReport, console: Console) -> None:
    """The folder in a line, and the labelled pixels of each class."""
    from rich.table import Table
    from rich.text import Text

    dataset = report.dataset
    labelled = int(report.pixels.sum())
    title = (
        f"{dataset.name} {dataset.split}: {len(dataset.samples)} images, {report.inspected} labels read "
        f"({dataset.layout}, {dataset.coding.name}) in {dataset.root}"
    )
    console.print(Text(title, "bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("index", "class", "pixels", "share", "pictures"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for index, name in enumerate(dataset.classes.classes):
        pixels = int(report.pixels[index])
        share = f"{100 * pixels / labelled:.3f} %" if labelled else ""
        style = "" if pixels else "dim"
        table.add_row(str(index), Text(name), f"{pixels:,}", share, str(report.images_with[index]), style=style)
    console.print(table)
    total = labelled + report.ignored
    console.print(f"ignored: {report.ignored:,} pixels" + (f" ({100 * report.ignored / total:.1f} %)" if total else ""))


def _document(report: CheckReport) -> dict[str, Any]:
    dataset = report.dataset
    return {
        "schema_version": 1,
        "dataset": dataset.name,
        "split": dataset.split,
        "root": str(dataset.root),
        "layout": dataset.layout,
        "label_coding": dataset.coding.name,
        "pictures": len(dataset.samples),
        "labels_read": report.inspected,
        "ignored_pixels": report.ignored,
        "classes": [
            {"index": i, "name": name, "pixels": int(report.pixels[i]), "pictures": int(report.images_with[i])}
            for i, name in enumerate(dataset.classes.classes)
        ],
        "findings": [
            {"kind": f.kind, "count": f.count, "fatal": f.fatal, "examples": list(f.examples)} for f in report.findings
        ],
        "ready": not report.fatal(),
    }
