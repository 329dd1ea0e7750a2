"""Recursive search of a folder, on this machine or in a store, complete and without visiting a folder twice."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from semask_cli.errors import ImageError
from semask_cli.io.image_formats import is_image_path
from semask_cli.io.storage import Address, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderContents:
    """The `files` below a folder, sorted, and the `unreadable` folders with the reasons.

    Everything but a folder counts as a file, even a dangling link or a pipe: opening it will report the problem.
    """

    files: tuple[Path, ...]
    unreadable: Mapping[Path, str]


def search(folder: Path) -> FolderContents:
    """Everything below `folder`, as found by `walk`; empty if there is no such folder."""
    files: list[Path] = []
    unreadable: dict[Path, str] = {}
    for path, reason in walk(folder):
        if reason is None:
            files.append(path)
        else:
            unreadable[path] = reason
    return FolderContents(files=tuple(sorted(files)), unreadable=unreadable)


def walk(folder: Path, *, without: Path | None = None) -> Iterator[tuple[Path, str | None]]:
    """The files below `folder` with None, and the folders that cannot be read with the reason. Follows links.

    A folder's own files come first, by name, then its sub-folders: only the names of one folder are in memory. A folder
    with several links, or a link inside itself, is searched once, at its real place if that is below `folder`.
    `without` is not searched, unless it is `folder` itself.
    """
    if _absent(folder):
        return
    searched: set[tuple[int, int]] = set()
    pending, linked = [os.fspath(folder)], deque[str]()
    while pending or linked:
        current = pending.pop() if pending else linked.popleft()
        try:
            identity = _identity(current)
            if identity in searched or (searched and without and identity == _identity_or_none(without)):
                continue
            searched.add(identity)
            files, folders = [], []
            with os.scandir(current) as scan:
                for entry in scan:
                    if not _is_folder(entry):
                        files.append(entry.name)
                    elif entry.is_symlink():
                        linked.append(entry.path)
                    else:
                        folders.append(entry.path)
        except OSError as error:
            yield Path(current), error.strerror or str(error)
            continue
        pending += sorted(folders, reverse=True)
        files.sort()
        for name in files:
            yield Path(current, name), None


def images_below(folder: Address, *, without: Address | None = None) -> Iterator[Address]:
    """The images below a folder of a store, found lazily: its own by name, then those of its sub-folders.

    The sub-folder `without` is not searched.

    Raises:
        ImageError: a folder cannot be listed.
    """
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            entries = listed(current)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ImageError(f"cannot list {current}: {error.strerror or error}") from error
        yield from sorted(
            address for address, is_folder in entries.items() if not is_folder and is_image_path(Path(address.name))
        )
        folders = {address for address, is_folder in entries.items() if is_folder}
        pending += sorted(folders - {without}, reverse=True)


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _identity_or_none(folder: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        return _identity(folder)
    return None


def _absent(folder: Path) -> bool:
    try:
        os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, or through a folder without permission
        return False
