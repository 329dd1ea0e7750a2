"""The images that a user names: files, folders, glob patterns, URLs, stdin."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from semask_cli.errors import ImageError
from semask_cli.io.folders import images_below, walk
from semask_cli.io.image_formats import is_image_path
from semask_cli.io.storage import Address, Place, place

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Input:
    """An image to read; `path` is None for stdin. `stem` is its results' path in the output folder, without suffix.

    A folder that cannot be searched is an input too: reading it as an image will report the error.
    """

    path: Place | None
    stem: Path

    @property
    def id(self) -> str:
        """The image's path below the folder that was named, without suffix: "street/one"."""
        return self.stem.as_posix()

    @property
    def name(self) -> str:
        """The input's name in messages."""
        return str(self.path) if self.path else "stdin"


def results_stem(path: Path) -> Path:
    """Where the results of the file at `path` go, a path below what was named: without suffix, and without steps that
    would lead out of the output folder, as the keys of a store may have them.

    A name that is none without its suffix, as "..jpg", keeps it.
    """
    *folders, name = [part for part in path.parts if part not in ("..", path.anchor)] or ["folder"]
    stem = Path(name).stem
    return Path(*folders, name if stem in (".", "..") else stem)


def find_inputs(names: Iterable[str], *, output: Place | None = None) -> Iterator[Input]:
    """Find files, folders (searched recursively), glob patterns and "-" for stdin, in the order given.

    A URL such as s3://bucket/photos is a file if it has the suffix of an image, otherwise a folder. Sub-folders are
    kept in `stem`. A name that exists is never a pattern. Linked folders are searched once. The search is lazy, and
    skips the folder `output`.

    Raises:
        ImageError: nothing is found for a name; raised when the name is reached.
    """
    local = output if isinstance(output, Path) else None
    for name in names:
        path = Path(name)
        if name == STDIN:
            yield Input(None, Path("stdin"))
        elif isinstance(address := place(name), Address):
            yield from _remote(address, output)
        elif os.path.isdir(name):
            yield from _below(path, local)
        elif os.path.lexists(name) or not glob.has_magic(name):
            yield Input(path, results_stem(Path(path.name)))
        else:
            yield from _matching(name, local)


def _remote(address: Address, output: Place | None) -> Iterator[Input]:
    if is_image_path(Path(address.name)):
        yield Input(address, results_stem(Path(address.name)))
        return
    found = False
    for image in images_below(address, without=output if isinstance(output, Address) else None):
        found = True
        yield Input(image, results_stem(Path(image.url.removeprefix(address.url).lstrip("/"))))
    if not found:
        raise ImageError(f"there is no image in {address}", "Images have suffixes such as .jpg and .png.")


def _below(folder: Path, output: Path | None) -> Iterator[Input]:
    found = False
    for path, unreadable in walk(folder, without=output):
        if unreadable or is_image_path(path):
            found = True
            yield _input(path, folder)
    if not found:
        raise ImageError(f"there is no image in {folder}", "Images have suffixes such as .jpg and .png.")


def _matching(pattern: str, output: Path | None) -> list[Input]:
    """The matches of a pattern; they keep the sub-folders below its part without wildcards."""
    parts = Path(pattern).parts
    fixed = _fixed_parts(parts)
    within = output if output and not Path(*fixed).is_relative_to(output) else None
    matches = [path for path in map(Path, glob.glob(pattern, recursive=True)) if is_image_path(path)]
    paths = sorted(_once(matches) if "**" in parts else matches)
    for end in range(len(fixed), len(parts)):
        paths += _unreadable(glob.glob(str(Path(*parts[:end])), recursive=True))
    paths = [path for path in paths if not within or not path.is_relative_to(within)]
    if not paths:
        raise ImageError(f"no image matches {pattern}")
    return [_input(path, Path(*fixed)) for path in paths]


def _once(paths: Iterable[Path]) -> list[Path]:
    """The paths without duplicates: of several ways to a file, over linked folders, the shortest is kept."""
    by_place: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        by_place.setdefault(os.path.join(os.path.realpath(path.parent), path.name), path)
    return list(by_place.values())


def _unreadable(names: Iterable[str]) -> list[Path]:
    """The folders among `names` that cannot be read, in which a pattern would match nothing."""
    return [Path(name) for name in names if os.path.isdir(name) and not _is_readable(name)]


def _is_readable(folder: str) -> bool:
    try:
        os.scandir(folder).close()
    except OSError:
        return False
    return True


def _input(path: Path, folder: Path) -> Input:
    return Input(path, results_stem(path.relative_to(folder)) if path != folder else Path(path.name or "folder"))


def _fixed_parts(parts: tuple[str, ...]) -> list[str]:
    fixed: list[str] = []
    for part in parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return fixed
