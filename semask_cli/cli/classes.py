"""`semask classes`: index, name and colour of every class of a dataset."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def classes(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="ade20k, cityscapes or coco-stuff10k.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the classes of a dataset: the pixel values of its masks, their names and their colours."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from semask_cli.datasets import classes as known_classes

    known = known_classes(dataset)
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in known.palette.tolist()]
    rows = list(enumerate(zip(known.classes, colours, strict=True)))
    if as_json:
        listed = [{"index": index, "name": name, "colour": colour} for index, (name, colour) in rows]
        print(json.dumps({"schema_version": 1, "dataset": known.name, "classes": listed}, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("index", justify="right")
    table.add_column("colour")
    table.add_column("name")
    for index, (name, colour) in rows:
        table.add_row(str(index), Text.assemble(("██", colour), " ", colour), Text(name))
    Console().print(table)
