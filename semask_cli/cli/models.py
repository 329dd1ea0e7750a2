"""`semask models`: the zoo as a table, or one model in full."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from semask_cli.cli.completion import complete_dataset, complete_model
from semask_cli.cli.model_options import ZooFile
from semask_cli.cli.option_groups import AsJson
from semask_cli.cli.printing import print_json, print_table
from semask_cli.datasets.spec import dataset_name
from semask_cli.output.percentages import format_percent
from semask_cli.zoo import ModelSpec, load_zoo


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show one model in full.", autocompletion=complete_model)
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only the models of this dataset.", autocompletion=complete_dataset),
    ] = None,
    zoo_file: ZooFile = None,
    as_json: AsJson = False,
) -> None:
    """List the published models: dataset, mIoU, parameters, and whether the checkpoint is on this machine."""
    zoo = load_zoo(zoo_file)
    canonical = dataset and dataset_name(dataset)
    rows = [zoo.find(name, dataset=dataset)] if name else list(zoo.models.values())
    rows = [spec for spec in rows if canonical in (None, spec.dataset)]
    if as_json:
        print_json({"models": [_document(spec) for spec in rows]})
    elif name:
        _print_row(rows[0])
    else:
        _print_table(rows, set(zoo.defaults.values()))


def _print_table(rows: list[ModelSpec], defaults: set[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from semask_cli.checkpoints.store import on_disk

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model")
    table.add_column("dataset")
    for column in ("mIoU", "ms+flip", "params"):
        table.add_column(column, justify="right")
    table.add_column("on disk")
    for before, spec in zip([None, *rows], rows, strict=False):
        if before and before.dataset != spec.dataset:
            table.add_section()
        table.add_row(
            spec.name + (" *" if spec.name in defaults else ""),
            spec.dataset,
            format_percent(spec.miou, missing=""),
            format_percent(spec.miou_ms_flip, missing=""),
            f"{spec.params_m:g} M" if spec.params_m else "",
            "[green]yes[/]" if on_disk(spec) else "",
        )
    print_table(table)
    Console(stderr=True).print("* the default model of its dataset", style="dim")


def _print_row(spec: ModelSpec) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for key, value in _flat(_document(spec)):
        table.add_row(key, Text(value))
    print_table(table)


def _document(spec: ModelSpec) -> dict[str, Any]:
    """All facts of the row, and the path of its checkpoint on this machine."""
    from semask_cli.checkpoints.store import on_disk

    document = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    path = on_disk(spec)
    return {
        **document,
        "head": dict(spec.head),
        "backbone": dataclasses.asdict(spec.backbone),
        "checkpoints": [_file(file) for file in spec.checkpoints],
        "checkpoint": spec.checkpoint and spec.checkpoint.label,
        "on_disk": str(path) if path else None,
    }


def _file(file: Any) -> dict[str, Any]:
    return {**dataclasses.asdict(file), "path": str(file.path) if file.path else None, "page": file.page}


def _flat(document: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Pairs of key and text; keys of nested tables are dotted."""
    lines: list[tuple[str, str]] = []
    for key, value in document.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            for item in value:
                lines += _flat(item, f"{prefix}{key}.{item['label']}.")
        elif value not in (None, "", ()):
            lines.append((prefix + key, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
    return lines
