"""The images that a person names: files, folders, glob patterns, stdin."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from semask_cli.errors import ImageError
from semask_cli.io.images import is_image_path

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Input:
    """An image to read, or stdin (None). `stem` is the path of its results below the output folder, without suffix."""

    path: Path | None
    stem: Path

    @property
    def name(self) -> str:
        """The input as messages name it."""
        return str(self.path) if self.path else "stdin"


def find_inputs(names: Iterable[str]) -> list[Input]:
    """Files, folders (searched with all sub-folders), glob patterns and "-" for stdin, in the order given.

    A folder's images keep their sub-folders. A name that exists is that file, brackets or not; else it is a pattern.

    Raises:
        ImageError: nothing is there, or a folder holds no image.
    """
    inputs: list[Input] = []
    for name in names:
        path = Path(name)
        if name == STDIN:
            inputs.append(Input(None, Path("stdin")))
        elif path.is_dir():
            inputs += _below(path)
        elif path.exists() or not glob.has_magic(name):
            inputs.append(Input(path, Path(path.stem)))
        else:
            inputs += _matching(name)
    return list(dict.fromkeys(inputs))


def _below(folder: Path) -> list[Input]:
    images = sorted(path for path in folder.rglob("*") if is_image_path(path) and path.is_file())
    if not images:
        raise ImageError(f"there is no image in {folder}", "Files are known by endings such as .jpg and .png.")
    return [Input(path, path.relative_to(folder).with_suffix("")) for path in images]


def _matching(pattern: str) -> list[Input]:
    """Matches keep the sub-folders below the part of the pattern that is no pattern."""
    fixed = Path(*_fixed_parts(Path(pattern).parts))
    paths = sorted(path for path in map(Path, glob.glob(pattern, recursive=True)) if is_image_path(path))
    if not paths:
        raise ImageError(f"no image matches {pattern}")
    return [Input(path, path.relative_to(fixed).with_suffix("")) for path in paths]


def _fixed_parts(parts: tuple[str, ...]) -> list[str]:
    fixed: list[str] = []
    for part in parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return fixed
