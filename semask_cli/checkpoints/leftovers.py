"""Removing leftovers of killed processes from the cache, unless a process uses them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semask_cli.checkpoints.parts import TRANSFER
from semask_cli.io.cache import cache_folder
from semask_cli.io.files import PART, claim, private_folders

# Versions up to 0.1 used fixed names, with the same locks.
_EARLIER = {"checkpoints": (".tmp*", "*.tmp"), "downloads": ("*.pth", "*.pth*.part"), "kernels": (".*.part",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A removed file or folder, and its size in bytes."""

    path: str
    bytes: int


def remove(*, holding: Path | None = None, transfers: bool = False) -> list[Leftover]:
    """Remove what no process uses any more; with `transfers`, also downloads that could be resumed.

    `holding` is the lock that the caller holds. What another process uses, or another user owns, stays.
    """
    folders = [cache_folder() / name for name in ("checkpoints", "downloads", "kernels")]
    removed = []
    for suffix in (PART, TRANSFER) if transfers else (PART,):
        for folder in (found for parent in folders for found in private_folders(parent, suffix=suffix)):
            if (lock := claim(folder)) is not None:
                removed += _remove(folder)
                os.close(lock)
    if not any(_is_held(path) for path in (cache_folder() / "downloads").glob("*.lock") if path != holding):
        removed += [leftover for path in _of_earlier_versions() for leftover in _remove(path)]
    return removed


def _of_earlier_versions() -> Iterator[Path]:
    for name, patterns in _EARLIER.items():
        for pattern in patterns:
            yield from (path for path in (cache_folder() / name).glob(pattern) if path.is_symlink() or path.is_file())


def _is_held(lock: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a link, a folder, or another user's: not one of ours
        return False


def _remove(path: Path) -> list[Leftover]:
    """Remove a file, link or folder; none is returned if that fails."""
    files = [path] if path.is_symlink() or path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.lstat().st_size for file in files)
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError:
        return []
    return [Leftover(path=str(path), bytes=size)]
