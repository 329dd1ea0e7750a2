"""Outputs never replace inputs: both are compared before any work is done."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from semask_cli.errors import OutputError
from semask_cli.io.storage import Place

_ELSEWHERE = "Write the results to another place."


def refuse_replacing(outputs: Iterable[Path], inputs: Iterable[Place | None]) -> None:
    """Refuse local outputs that would replace an input. Files are compared by inode, so links cannot hide one.

    Raises:
        OutputError: an output is one of the inputs, is a folder, or lies below a file or an inaccessible folder.
    """
    read: dict[tuple[int, int], Path] = {}
    for source in inputs:
        if isinstance(source, Path):
            with suppress(OSError):  # reading it will say why
                read[_identity(os.stat(source))] = source
    for path in outputs:
        try:
            status = _status(path)
            if status and (replaced := read.get(_identity(status))):
                raise OutputError(f"writing {path} would replace {replaced}, which is read", _ELSEWHERE)
            if status and stat.S_ISDIR(status.st_mode):
                raise OutputError(f"cannot write {path}: it is a folder", _ELSEWHERE)
            refuse_file_as_folder(path.parent)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}", _ELSEWHERE) from error


def refuse_file_as_folder(folder: Path) -> None:
    """Refuse a folder to write to that is a file, or lies below one.

    Raises:
        OutputError: it is.
    """
    for ancestor in (folder, *folder.parents):
        if status := _status(ancestor):
            if not stat.S_ISDIR(status.st_mode):
                raise OutputError(f"{ancestor} is a file, but results need a folder", _ELSEWHERE)
            return


def _status(path: Path) -> os.stat_result | None:
    """The status of `path`; None if it does not exist."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
