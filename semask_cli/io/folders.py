"""Searching a folder: nothing below it is left out, and no folder is searched twice."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderContents:
    """The `files` below a folder, sorted, and the folders that are `unreadable`, with the reasons.

    Whatever is no folder counts as a file: a link to nothing or a pipe too, so that opening it says what is wrong.
    """

    files: tuple[Path, ...]
    unreadable: Mapping[Path, str]


def search(folder: Path) -> FolderContents:
    """All that lies below `folder`, linked folders included; nothing where there is no such folder.

    A folder that is linked to from several places, or from inside itself, is searched once: at its own place if that is
    below `folder`.
    """
    if _absent(folder):
        return FolderContents(files=(), unreadable={})
    files: list[Path] = []
    unreadable: dict[Path, str] = {}
    searched: set[tuple[int, int]] = set()
    pending, linked = [os.fspath(folder)], deque[str]()
    while pending or linked:
        current = pending.pop() if pending else linked.popleft()
        try:
            status = os.stat(current)
            if (status.st_dev, status.st_ino) in searched:
                continue
            searched.add((status.st_dev, status.st_ino))
            with os.scandir(current) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            unreadable[Path(current)] = error.strerror or str(error)
            continue
        for entry in entries:
            if not _is_folder(entry):
                files.append(Path(entry.path))
            elif entry.is_symlink():
                linked.append(entry.path)
            else:
                pending.append(entry.path)
    return FolderContents(files=tuple(sorted(files)), unreadable=unreadable)


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
