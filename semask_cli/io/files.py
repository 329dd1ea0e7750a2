"""Atomic writes. Leftovers of killed processes are found and removed.

A file is written in a private folder beside its final place, `.semask-XXXXXXXX.part`, and then renamed. The folder is
accessible to its owner only, has an unpredictable name, and is locked while its process lives: one that can be locked
is abandoned.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from semask_cli.errors import OutputError, UsageError

if sys.platform != "win32":
    import fcntl

PART = ".part"
_PREFIX = ".semask-"


def refuse_address(value: str, name: str) -> None:
    """Raises UsageError if the value of `name`, which takes a path of this machine, is a URL."""
    if "://" in value:
        raise UsageError(f"{name} takes a path on this machine, not {value}", "Copy what is there, or name a folder.")


@contextmanager
def writing(target: Path | str, *, suggestion: str = "Choose another place to write to.") -> Iterator[None]:
    """Convert an OSError in the block into an OutputError that names `target`, which is a path or a description."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}", suggestion) from error


@contextmanager
def whole_file(path: Path, *, suggestion: str = "Choose another place to write to.") -> Iterator[Path]:
    """A temporary path, which replaces `path` when the block ends without an error.

    At any moment `path` is the old file, the new one or none, never a part. Parent folders are created; a link at
    `path` is replaced, not followed.

    Raises:
        OutputError: no permission, no space, or `path` is a folder. No partial file is left.
    """
    with writing(path, suggestion=suggestion):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned_once(path.parent)
        folder, lock = new_private_folder(path.parent)
        unfinished = folder / path.name
        try:
            yield unfinished
            unfinished.replace(path)
        finally:
            _remove(folder, file=unfinished)
            os.close(lock)


def _remove(folder: Path, *, file: Path) -> None:
    """Remove a private folder. If it holds only `file`, this needs no file descriptor: there may be none left."""
    with suppress(OSError):
        file.unlink(missing_ok=True)
        folder.rmdir()
        return
    shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically, creating parent folders and replacing an existing file.

    Raises:
        OutputError: as `whole_file`.
    """
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)


def new_private_folder(parent: Path, *, suffix: str = PART) -> tuple[Path, int]:
    """Create and lock a folder with access for its owner only; returns its path and a descriptor holding the lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=suffix, dir=parent))
        if sys.platform == "win32":  # folders cannot be locked there, so none is considered abandoned
            return folder, os.open(os.devnull, os.O_RDONLY)
        with suppress(FileNotFoundError):
            lock = _open_or_remove(folder)
            with suppress(OSError):  # a file system without locks: nobody else can lock the folder either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(folder, lock):
                return folder, lock
            os.close(lock)
        # Another process locked it first, considered it abandoned and removed it.


def _open_or_remove(folder: Path) -> int:
    """Open a new folder; if that fails, remove it."""
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        with suppress(OSError):
            folder.rmdir()
        raise


def locked_folder(folder: Path) -> int:
    """Lock a folder, which is created if it does not exist, until the returned descriptor is closed.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it cannot be created or opened.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if sys.platform == "win32":
            return os.open(os.devnull, os.O_RDONLY)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise
        except OSError:
            return lock  # a file system without locks
        if _is_at(folder, lock):
            return lock
        os.close(lock)  # the process that had locked it has removed it


def private_folders(parent: Path, *, suffix: str = PART) -> list[Path]:
    """The private folders in `parent`, in use or not; none if `parent` cannot be read."""
    with suppress(OSError), os.scandir(parent) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if entry.name.startswith(_PREFIX) and entry.name.endswith(suffix) and entry.is_dir(follow_symlinks=False)
        )
    return []


def claim(folder: Path) -> int | None:
    """Lock an abandoned private folder; returns a descriptor holding the lock.

    None if the folder is in use, belongs to another user, or is gone.
    """
    if sys.platform == "win32":
        return None
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_uid == os.geteuid() and _is_at(folder, lock):
            return lock
    os.close(lock)
    return None


@cache
def _remove_abandoned_once(parent: Path) -> None:
    """Remove leftovers of killed processes from a folder; once per process, since it may hold very many files."""
    for folder in private_folders(parent):
        if (lock := claim(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _is_at(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(folder), os.fstat(descriptor))
    except FileNotFoundError:
        return False
