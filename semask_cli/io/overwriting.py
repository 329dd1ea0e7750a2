"""Results never replace what is read: outputs are compared with inputs before any work is done."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from semask_cli.errors import OutputError
from semask_cli.io.storage import Place

_ELSEWHERE = "Name another place for the results."


def refuse_replacing(outputs: Iterable[Path], inputs: Iterable[Place | None]) -> None:
    """Compare the files themselves, so that links and other spellings of a path do not hide one.

    No file here is one in a store.

    Raises:
        OutputError: an output is one of the inputs, is a folder, or lies below a file or a folder that is closed.
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
    """
    Raises:
        OutputError: `folder`, or what it would lie in, is a file.
    """
    for ancestor in (folder, *folder.parents):
        if status := _status(ancestor):
            if not stat.S_ISDIR(status.st_mode):
                raise OutputError(f"{ancestor} is a file, where a folder is needed to write to", _ELSEWHERE)
            return


def _status(path: Path) -> os.stat_result | None:
    """What is at `path`; None where there is nothing yet."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
