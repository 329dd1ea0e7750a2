"""`semask classes`: index, name and colour of every class of a dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from semask_cli.cli.completion import complete_dataset
from semask_cli.cli.dataset_options import DATASET_NAMES
from semask_cli.cli.option_groups import AsJson
from semask_cli.cli.printing import print_json, print_table


def classes(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=DATASET_NAMES, autocompletion=complete_dataset)],
    as_json: AsJson = False,
) -> None:
    """List the classes of a dataset: the pixel values of its masks, their names and their colours."""
    from rich.table import Table
    from rich.text import Text

    from semask_cli.datasets import classes as classes_of

    class_set = classes_of(dataset)
    rows = list(enumerate(zip(class_set.classes, class_set.hex_colours, strict=True)))
    if as_json:
        listed = [{"index": index, "name": name, "colour": colour} for index, (name, colour) in rows]
        print_json({"dataset": class_set.name, "classes": listed})
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("index", justify="right")
    table.add_column("colour")
    table.add_column("name")
    for index, (name, colour) in rows:
        table.add_row(str(index), Text.assemble(("██", colour), " ", colour), Text(name))
    print_table(table)
