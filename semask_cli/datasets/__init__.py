"""The datasets of the published models: where their files lie, how labels are coded, class names and palettes."""

from semask_cli.datasets.classes import IGNORE, ClassSet, Coding, classes, read_classes

__all__ = ["IGNORE", "ClassSet", "Coding", "classes", "read_classes"]
