"""The files that the results of many images are written to: no two of one name, and none that is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeGuard

from semask_cli.errors import OutputError
from semask_cli.io.images import is_image_path
from semask_cli.io.inputs import Input
from semask_cli.io.storage import Place
from semask_cli.output.kinds import Kind, file_name

CHECKED_FIRST = 10_000
"""Inputs that are looked at together before the first of them is read."""

_APART = (
    "Run them apart, with another -o; or name their common folder, which keeps sub-folders; or give them ids in a"
    " --manifest."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An image and the file for each kind of output; or an `error`, why it cannot be written."""

    entry: Input
    files: Mapping[Kind, Place]
    error: OutputError | None = None


def plan_outputs(
    entries: Iterable[Input], folder: Place, kinds: Iterable[Kind], *, read: Iterable[Path] = ()
) -> Iterator[Task]:
    """The files of each kind for each image, in order; an image that comes a second time is left out.

    `read` are other files that the run reads.

    Of the first inputs all are compared with all before one is given. Of the later ones each is compared with those
    before it, and one that cannot be written has its error, since it must not end a run of hours.

    Raises:
        OutputError: at the first inputs: two images would write one file, or a result would replace an image that is
            read.
    """
    entries, kinds = iter(entries), tuple(kinds)
    first = list(dict.fromkeys(islice(entries, CHECKED_FIRST)))
    inputs = {_real(path) for path in (*read, *(entry.path for entry in first if entry.path))}
    owner: dict[str, Input] = {}
    tasks = [Task(entry=entry, files=_files(entry, folder, kinds)) for entry in first]
    for task in tasks:
        for path in task.files.values():
            if _real(path) in inputs:
                raise _replaces(path)
            if (other := owner.setdefault(_folded(path), task.entry)) is not task.entry:
                raise OutputError(
                    f"{other.name} and {task.entry.name} would both be written to {path}",
                    _APART,
                )
    written = {hash(name) for name in owner}
    folders = {_real_folder(os.path.dirname(path)) for path in inputs if "://" not in path}
    del owner, first, inputs
    yield from tasks
    for entry in entries:
        if isinstance(entry.path, Path):
            folders.add(_real_folder(os.path.dirname(entry.path)))
        files = _files(entry, folder, kinds)
        yield Task(entry=entry, files=files, error=_conflict(entry, files, written, folders))


def refuse_results_as_inputs(names: Iterable[str], *, output: Place, kinds: Iterable[Kind], page: Path | None) -> None:
    """Refuse to write images to where the folders among `names` are searched: the same command again would take them.

    `page` is the folder of a gallery, if one is written. The folder `output` is not searched if it lies below a folder.

    Raises:
        OutputError: the same run would have other inputs the next time.
    """
    images = any(is_image_path(Path(file_name("image", kind))) for kind in kinds)
    into = Path(os.path.realpath(output)) if isinstance(output, Path) else None
    for folder in (Path(os.path.realpath(name)) for name in names if os.path.isdir(name)):
        if into == folder and images:
            raise _becomes_input(output, "-o")
        if page:
            previews = Path(os.path.realpath(page))
            unsearched = into and into != folder and previews.is_relative_to(into)
            if previews.is_relative_to(folder) and not unsearched:
                raise _becomes_input(page, "--report")


def _becomes_input(folder: Place, option: str) -> OutputError:
    return OutputError(
        f"{folder} is searched for images: those written there would be taken for inputs the next time",
        f"Name another folder with {option}.",
    )


def _conflict(
    entry: Input, files: Mapping[Kind, Place], written: set[int], folders: Collection[str]
) -> OutputError | None:
    """Why these files cannot be written; None if they can.

    `written` are the hashes of those before them, `folders` those that images are read from: none of these is replaced.
    """
    for path in files.values():
        if _is_local_image(path) and _real_folder(os.path.dirname(path)) in folders and os.path.lexists(path):
            return _replaces(path)
        if path == entry.path:
            return _replaces(path)
        if hash(_folded(path)) in written:
            return OutputError(
                f"{path} has been written for another image than {entry.name}",
                _APART,
            )
        written.add(hash(_folded(path)))
    return None


def _is_local_image(path: Place) -> TypeGuard[Path]:
    return isinstance(path, Path) and is_image_path(path)


def _real(path: Place) -> str:
    """Where a file is, through links; most are none themselves, and lie in folders that were seen before."""
    if not isinstance(path, Path):
        return path.url
    if os.path.islink(path):
        return _folded(Path(os.path.realpath(path)))
    return _folded(Path(_real_folder(os.path.dirname(path)), os.path.basename(path)))


def _folded(path: Place) -> str:
    """The name that a file has however it is spelled: to macOS and Windows a.png is A.png."""
    return str(path).casefold() if isinstance(path, Path) and _ignores_case() else str(path)


def _ignores_case() -> bool:
    return sys.platform in ("darwin", "win32")


def _files(entry: Input, folder: Place, kinds: Iterable[Kind]) -> dict[Kind, Place]:
    stem = folder / entry.stem
    return {kind: stem.with_name(file_name(stem.name, kind)) for kind in kinds}


def _replaces(path: Place) -> OutputError:
    return OutputError(f"{path} would replace a file that is read", "Name another folder with -o.")


@lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)
