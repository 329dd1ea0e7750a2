"""Which images a command line names, and where the results of each belong."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from semask_cli.errors import ImageError, OutputError
from semask_cli.io.images import is_image_path
from semask_cli.output.segmentation import Kind, file_name

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Input:
    """An image, and the place of its results below the output folder, without an ending. No path means stdin."""

    path: Path | None
    place: Path

    @property
    def name(self) -> str:
        return str(self.path) if self.path else "stdin"


def find_inputs(named: Iterable[str]) -> list[Input]:
    """Files, folders (searched with all sub-folders), glob patterns and "-" for stdin, in the order given.

    A folder's images keep their sub-folders. A name that exists is that file, brackets or not; else it is a pattern.

    Raises:
        ImageError: nothing is there, or a folder holds no image.
    """
    found: list[Input] = []
    for name in named:
        path = Path(name)
        if name == STDIN:
            found.append(Input(None, Path("stdin")))
        elif path.is_dir():
            found += _below(path)
        elif path.exists() or not glob.has_magic(name):
            found.append(Input(path, Path(path.stem)))
        else:
            found += _matching(name)
    return list(dict.fromkeys(found))


def _below(folder: Path) -> list[Input]:
    images = sorted(path for path in folder.rglob("*") if is_image_path(path) and path.is_file())
    if not images:
        raise ImageError(f"there is no image in {folder}", "Files are known by endings such as .jpg and .png.")
    return [Input(path, path.relative_to(folder).with_suffix("")) for path in images]


def _matching(pattern: str) -> list[Input]:
    """Matches keep the sub-folders below the part of the pattern that is no pattern."""
    fixed = Path(*_until_magic(Path(pattern).parts))
    paths = sorted(path for path in map(Path, glob.glob(pattern, recursive=True)) if is_image_path(path))
    if not paths:
        raise ImageError(f"no image matches {pattern}")
    return [Input(path, path.relative_to(fixed).with_suffix("")) for path in paths]


def _until_magic(parts: tuple[str, ...]) -> list[str]:
    plain: list[str] = []
    for part in parts:
        if glob.has_magic(part):
            break
        plain.append(part)
    return plain


def output_paths(inputs: Iterable[Input], folder: Path, kinds: Iterable[Kind]) -> dict[Input, dict[Kind, Path]]:
    """The file of each kind for each image.

    Raises:
        OutputError: two images would write one file, or a result would replace an image that is read.
    """
    inputs, kinds = list(inputs), list(kinds)
    read = {entry.path.resolve() for entry in inputs if entry.path}
    writer: dict[Path, Input] = {}
    planned: dict[Input, dict[Kind, Path]] = {}
    for entry in inputs:
        stem = folder / entry.place
        planned[entry] = {kind: stem.with_name(file_name(stem.name, kind)) for kind in kinds}
        for path in planned[entry].values():
            if path.resolve() in read:
                raise OutputError(f"{path} would replace an image that is read", "Name another folder with -o.")
            if (other := writer.setdefault(path, entry)) is not entry:
                raise OutputError(
                    f"{other.name} and {entry.name} would both be written to {path}",
                    "Run them apart, with another -o; or name their common folder, which keeps sub-folders.",
                )
    return planned
