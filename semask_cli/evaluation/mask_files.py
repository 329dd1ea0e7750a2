"""Which file of a folder is the mask of which image, by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from semask_cli.datasets import Sample
from semask_cli.datasets.samples import files_below
from semask_cli.errors import DatasetError


def find_masks(folder: Path, samples: Sequence[Sample]) -> dict[str, Path]:
    """The mask of each image that has one, by image id. A file is the mask of one image, the one whose name is longest.

    Raises:
        DatasetError: two masks for one image, or one that may be of either of two.
    """
    by_id = {sample.id: sample for sample in samples}
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        for name in {sample.name, sample.image.stem}:
            by_name.setdefault(name, []).append(sample)
    found: dict[str, dict[int, list[Path]]] = {}
    shared: list[tuple[Path, list[Sample]]] = []
    for key, file in files_below(folder, ".png").items():
        rank, named = _named_in(key, by_id, by_name)
        if len(named) > 1:
            shared.append((file, named))
        elif named:
            found.setdefault(named[0].id, {}).setdefault(rank, []).append(file)
    masks = {id: _only(files[min(files)], by_id[id]) for id, files in found.items()}
    for file, named in shared:
        if any(sample.id not in masks for sample in named):
            raise DatasetError(
                f"{file} may be the mask of {named[0].id} or of {named[1].id}",
                "Give masks the relative paths of their images.",
            )
    return masks


def _named_in(key: str, by_id: Mapping[str, Sample], by_name: Mapping[str, list[Sample]]) -> tuple[int, list[Sample]]:
    """The images that a mask at the relative path `key` may be of, and how near their names are: 0 is the same path."""
    folder, slash, name = key.rpartition("/")
    ends = [len(name), *(match.start() for match in re.finditer(r"[_.]", name))]
    for end in sorted(ends, reverse=True):
        begun = name[:end]
        if sample := by_id.get(folder + slash + begun):
            return (0 if begun == name else 3), [sample]
        if named := by_name.get(begun):
            return (3 if begun != name else 1 if named[0].name == name else 2), named
    return 0, []


def _only(files: list[Path], sample: Sample) -> Path:
    if len(files) > 1:
        raise DatasetError(f"two masks for {sample.id}: {files[0]} and {files[1]}", "Keep one of them in the folder.")
    return files[0]
