"""The output files of many images: no duplicates, and none that is read."""

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
from semask_cli.io.image_formats import is_image_path
from semask_cli.io.inputs import Input
from semask_cli.io.storage import Place
from semask_cli.output.kinds import Kind, file_name

CHECKED_FIRST = 10_000
"""Inputs that are compared with each other before the first is read."""

_APART = (
    "Run them separately, with another -o; or name their common folder, whose sub-folders are kept; or give them ids"
    " in a --manifest."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An image and its output file of each kind, or the `error` why these cannot be written."""

    entry: Input
    files: Mapping[Kind, Place]
    error: OutputError | None = None


def plan_outputs(
    entries: Iterable[Input], folder: Place, kinds: Iterable[Kind], *, read: Iterable[Path] = ()
) -> Iterator[Task]:
    """The output files of each image, in order; repeated images are skipped.

    `read` are other files that the run reads. Without `kinds` an image has no files, but a row of its own: its id.

    The first CHECKED_FIRST inputs are all compared with each other in advance. Each later one is compared with those
    before it, and gets an error of its own, which does not end a run of hours.

    Raises:
        OutputError: among the first inputs, two images have the same output or row, or a result would replace an image.
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
        if not kinds and (other := owner.setdefault(task.entry.id, task.entry)) is not task.entry:
            raise OutputError(f"{other.name} and {task.entry.name} would both have the row {task.entry.id}", _APART)
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
    """Refuse to write images into a folder of inputs, where the next run would find them.

    `page` is the folder of a gallery, if one is written. An `output` below an input folder is fine: it is not searched.

    Raises:
        OutputError: the next run would have other inputs.
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
        f"{folder} is a folder of inputs: images written there would be inputs of the next run",
        f"Name another folder with {option}.",
    )


def _conflict(
    entry: Input, files: Mapping[Kind, Place], written: set[int], folders: Collection[str]
) -> OutputError | None:
    """Why these files cannot be written; None if they can.

    `written` are the hashes of earlier outputs, `folders` those that images are read from.
    """
    for path in files.values():
        if _is_local_image(path) and _real_folder(os.path.dirname(path)) in folders and os.path.lexists(path):
            return _replaces(path)
        if path == entry.path:
            return _replaces(path)
        if hash(_folded(path)) in written:
            return OutputError(
                f"{path} has already been written for another image than {entry.name}",
                _APART,
            )
        written.add(hash(_folded(path)))
    if not files:
        if hash(entry.id) in written:
            return OutputError(f"the row {entry.id} is already that of another image than {entry.name}", _APART)
        written.add(hash(entry.id))
    return None


def _is_local_image(path: Place) -> TypeGuard[Path]:
    return isinstance(path, Path) and is_image_path(path)


def _real(path: Place) -> str:
    """The real path of a file. Most are no links and share a folder, whose real path is cached."""
    if not isinstance(path, Path):
        return path.url
    if os.path.islink(path):
        return _folded(Path(os.path.realpath(path)))
    return _folded(Path(_real_folder(os.path.dirname(path)), os.path.basename(path)))


def _folded(path: Place) -> str:
    """A path for comparison: macOS and Windows ignore case."""
    return str(path).casefold() if isinstance(path, Path) and _ignores_case() else str(path)


def _ignores_case() -> bool:
    return sys.platform in ("darwin", "win32")


def _files(entry: Input, folder: Place, kinds: Iterable[Kind]) -> dict[Kind, Place]:
    stem = folder / entry.stem
    return {kind: stem.with_name(file_name(stem.name, kind)) for kind in kinds}


def _replaces(path: Place) -> OutputError:
    return OutputError(f"{path} would replace an input file", "Name another folder with -o.")


@lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)
