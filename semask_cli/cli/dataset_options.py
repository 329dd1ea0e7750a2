"""The options that name a dataset: a published one, or the user's own folders."""

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
"""The published datasets, for help texts."""

DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset", "-d", metavar="NAME", rich_help_panel=_PANEL, help=DATASET_NAMES, autocompletion=complete_dataset
    ),
]


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """A dataset, as named on the command line."""

    dataset: DatasetName = None
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_PANEL,
            help="The folder of the dataset; by default $SEMASK_DATA or $DETECTRON2_DATASETS.",
        ),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT",
            rich_help_panel=_PANEL,
            help="train, val or test; by default the split of the published figures.",
        ),
    ] = None
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", rich_help_panel=_PANEL, help="A folder of your own images.")
    ] = None
    labels: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel=_PANEL, help="The label PNGs of --images, under the same names."),
    ] = None
    class_file: Annotated[
        Path | None,
        typer.Option(
            "--classes",
            metavar="FILE",
            rich_help_panel=_PANEL,
            help="The classes of --images, one per line: name, or name,red,green,blue.",
        ),
    ] = None
    label_coding: Annotated[
        str | None,
        typer.Option(
            metavar="CODING",
            rich_help_panel=_PANEL,
            help="Encoding of the label files, if the folder does not imply it: trainIds, labelIds or "
            "reduce-zero (0 is unlabelled).",
        ),
    ] = None

    def find(self) -> Dataset:
        """Find the dataset on disk.

        With --images, --dataset only gives the classes, in place of --classes.

        Raises:
            UsageError: options are missing, or exclude each other.
            DatasetError: no images are found.
        """
        from semask_cli.datasets import classes, find_dataset, folder_dataset, read_classes

        if self.images is None:
            if self.dataset is None or self.labels or self.class_file:
                raise UsageError(
                    "no dataset is named",
                    "Give --dataset NAME, or your own folders: --images DIR --labels DIR --classes FILE.",
                )
            return find_dataset(self.dataset, root=self.root, split=self.split, encoding=self.label_coding)
        if (self.dataset is None) == (self.class_file is None) or self.root or self.split:
            raise UsageError("--images takes --labels, and either --classes or --dataset for the classes")
        class_set = read_classes(self.class_file) if self.class_file else classes(self.dataset or "")
        return folder_dataset(self.images, self.labels, class_set, encoding=self.label_coding or CLASS_INDICES)

    def find_if_named(self) -> Dataset | None:
        """As `find`; None where no option names a dataset."""
        return None if self == DatasetOptions() else self.find()
