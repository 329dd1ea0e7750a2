"""The datasets of the published models: where their files lie, how labels are coded, class names and palettes."""

from semask_cli.datasets.classes import IGNORE, ClassSet, Coding, classes, read_classes
from semask_cli.datasets.folders import Dataset, find_dataset, folder_dataset
from semask_cli.datasets.labels import read_labels, read_values
from semask_cli.datasets.layouts import Sample

__all__ = [
    "IGNORE",
    "ClassSet",
    "Coding",
    "Dataset",
    "Sample",
    "classes",
    "find_dataset",
    "folder_dataset",
    "read_classes",
    "read_labels",
    "read_values",
]
