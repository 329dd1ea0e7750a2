"""The options by which a command is told its dataset: a published one below a root, or folders of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semask_cli.errors import UsageError

if TYPE_CHECKING:
    from semask_cli.datasets import Dataset

_PANEL = "Dataset"

DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset", "-d", metavar="NAME", rich_help_panel=_PANEL, help="ade20k, cityscapes or coco-stuff10k."
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_PANEL,
        help="Where the dataset lies; without it, $SEMASK_DATA or $DETECTRON2_DATASETS.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="SPLIT",
        rich_help_panel=_PANEL,
        help="train, val or test; without it, the split that published figures are of.",
    ),
]
Images = Annotated[
    Path | None, typer.Option(metavar="DIR", rich_help_panel=_PANEL, help="A folder of images of your own.")
]
Labels = Annotated[
    Path | None, typer.Option(metavar="DIR", rich_help_panel=_PANEL, help="Its label PNGs, under the same names.")
]
ClassFile = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        metavar="FILE",
        rich_help_panel=_PANEL,
        help="Its classes, one a line: name, or name,red,green,blue.",
    ),
]
LabelCoding = Annotated[
    str | None,
    typer.Option(
        metavar="CODING",
        rich_help_panel=_PANEL,
        help="How labels are written, where the folder does not tell: trainIds, labelIds, "
        "reduce-zero (0 is unlabelled).",
    ),
]


def chosen_dataset(
    name: str | None,
    *,
    root: Path | None,
    split: str | None,
    images: Path | None,
    labels: Path | None,
    class_file: Path | None,
    coding: str | None,
) -> Dataset:
    """The dataset that the options name.

    With --images, --dataset says only what the classes are, where --classes does not.

    Raises:
        UsageError: too little or too much is named.
        DatasetError: nothing is there.
    """
    from semask_cli.datasets import classes, find_dataset, folder_dataset, read_classes

    if images is None:
        if name is None or labels or class_file:
            raise UsageError(
                "which dataset?", "--dataset NAME, or folders of your own: --images DIR --labels DIR --classes FILE."
            )
        return find_dataset(name, root=root, split=split, coding=coding)
    if (name is None) == (class_file is None) or root or split:
        raise UsageError("--images goes with --labels, and with either --classes or --dataset for the classes")
    known = read_classes(class_file) if class_file else classes(name or "")
    return folder_dataset(images, labels, known, coding=coding or "trainIds")
