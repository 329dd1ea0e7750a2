"""The options that name a dataset: a published one below a root, or folders of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semask_cli.cli.completion import complete_dataset
from semask_cli.datasets.spec import CLASS_INDICES, dataset_names
from semask_cli.errors import UsageError

if TYPE_CHECKING:
    from semask_cli.datasets import Dataset

_PANEL = "Dataset"

DATASET_NAMES = f"{', '.join(dataset_names()[:-1])} or {dataset_names()[-1]}."
"""The published datasets, as a help text lists them."""

DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset", "-d", metavar="NAME", rich_help_panel=_PANEL, help=DATASET_NAMES, autocompletion=complete_dataset
    ),
]


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """A dataset folder, as the command line names it."""

    dataset: DatasetName = None
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_PANEL,
            help="Where the dataset lies; without it, $SEMASK_DATA or $DETECTRON2_DATASETS.",
        ),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT",
            rich_help_panel=_PANEL,
            help="train, val or test; without it, the split that published figures are of.",
        ),
    ] = None
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", rich_help_panel=_PANEL, help="A folder of images of your own.")
    ] = None
    labels: Annotated[
        Path | None, typer.Option(metavar="DIR", rich_help_panel=_PANEL, help="Its label PNGs, under the same names.")
    ] = None
    class_file: Annotated[
        Path | None,
        typer.Option(
            "--classes",
            metavar="FILE",
            rich_help_panel=_PANEL,
            help="Its classes, one a line: name, or name,red,green,blue.",
        ),
    ] = None
    label_coding: Annotated[
        str | None,
        typer.Option(
            metavar="CODING",
            rich_help_panel=_PANEL,
            help="How labels are written, where the folder does not say: trainIds, labelIds, "
            "reduce-zero (0 is unlabelled).",
        ),
    ] = None

    def find(self) -> Dataset:
        """The dataset that the options name.

        With --images, --dataset says only what the classes are, where --classes does not.

        Raises:
            UsageError: too little or too much is named.
            DatasetError: nothing is there.
        """
        from semask_cli.datasets import classes, find_dataset, folder_dataset, read_classes

        if self.images is None:
            if self.dataset is None or self.labels or self.class_file:
                raise UsageError(
                    "which dataset?",
                    "--dataset NAME, or folders of your own: --images DIR --labels DIR --classes FILE.",
                )
            return find_dataset(self.dataset, root=self.root, split=self.split, encoding=self.label_coding)
        if (self.dataset is None) == (self.class_file is None) or self.root or self.split:
            raise UsageError("--images goes with --labels, and with either --classes or --dataset for the classes")
        class_set = read_classes(self.class_file) if self.class_file else classes(self.dataset or "")
        return folder_dataset(self.images, self.labels, class_set, encoding=self.label_coding or CLASS_INDICES)
