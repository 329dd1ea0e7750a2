"""The datasets that models are evaluated on.

From a dataset's name and root folder, or two folders of the user: samples (an image with its label file), the classes,
and labels as class indices (H, W) uint8. All facts about a published dataset are in specs/NAME.toml. Nothing here knows
models or predictions.

    spec.py         a file of specs/ as a frozen DatasetSpec
    class_set.py    classes, colours and the encodings of label files
    folders.py      a dataset on disk, found by the layouts of its spec: samples.py
    labels.py       label files -> class indices; mat_files.py reads those of COCO-Stuff 10k, polygons.py Cityscapes'
    check.py        defects of a folder
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "IGNORE",
    "ClassSet",
    "Dataset",
    "LabelEncoding",
    "Sample",
    "classes",
    "find_dataset",
    "folder_dataset",
    "read_classes",
    "read_labels",
    "read_values",
]

if TYPE_CHECKING:
    from semask_cli.datasets.class_set import ClassSet, LabelEncoding, classes, read_classes
    from semask_cli.datasets.folders import Dataset, find_dataset, folder_dataset
    from semask_cli.datasets.labels import read_labels, read_values
    from semask_cli.datasets.samples import Sample
    from semask_cli.datasets.spec import IGNORE

_MODULES = {
    "class_set": ("ClassSet", "LabelEncoding", "classes", "read_classes"),
    "folders": ("Dataset", "find_dataset", "folder_dataset"),
    "labels": ("read_labels", "read_values"),
    "samples": ("Sample",),
    "spec": ("IGNORE",),
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: the command line lists the datasets without numpy."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
