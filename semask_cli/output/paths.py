"""The files that the results of many images are written to, decided before any of them is read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from semask_cli.errors import OutputError
from semask_cli.io.inputs import Input
from semask_cli.output.segmentation import Kind, file_name


def output_paths(inputs: Iterable[Input], folder: Path, kinds: Iterable[Kind]) -> dict[Input, dict[Kind, Path]]:
    """The file of each kind for each image.

    Raises:
        OutputError: two images would write one file, or a result would replace an image that is read.
    """
    inputs, kinds = list(inputs), list(kinds)
    images = {os.path.realpath(entry.path) for entry in inputs if entry.path}
    owner: dict[Path, Input] = {}
    paths: dict[Input, dict[Kind, Path]] = {}
    for entry in inputs:
        stem = folder / entry.stem
        paths[entry] = {kind: stem.with_name(file_name(stem.name, kind)) for kind in kinds}
        for path in paths[entry].values():
            if os.path.realpath(path) in images:
                raise OutputError(f"{path} would replace an image that is read", "Name another folder with -o.")
            if (other := owner.setdefault(path, entry)) is not entry:
                raise OutputError(
                    f"{other.name} and {entry.name} would both be written to {path}",
                    "Run them apart, with another -o; or name their common folder, which keeps sub-folders.",
                )
    return paths
