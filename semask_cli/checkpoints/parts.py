"""The received part of a file, kept for the next run if the transfer breaks off.

A private folder beside the file's final place, `.semask-XXXXXXXX.download`, holds the received part NAME.part, and
identity.json, which identifies the file on the server. Only a file with the same identity is resumed: otherwise halves
of two files would be joined.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from semask_cli.io.files import claim, new_private_folder, private_folders

TRANSFER = ".download"  # suffix of a folder that the next run resumes
_NOTE = "identity.json"


def transfer_folder(target: Path, origin: str) -> tuple[Path, int]:
    """A locked folder for the transfer of a file to `target`: one that a killed process left, or a new one.

    Returns its path, and a descriptor that holds the lock.
    """
    for folder in private_folders(target.parent, suffix=TRANSFER):
        if (lock := claim(folder)) is not None:
            identity = _identity(folder)
            if identity and identity.origin == origin:
                return folder, lock
            if identity is None:  # killed before there was anything to resume
                shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
    return new_private_folder(target.parent, suffix=TRANSFER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What identifies a file: its `origin` (Drive id or URL), `size` in bytes if announced, and HTTP validators."""

    origin: str
    size: int | None
    etag: str
    last_modified: str

    @property
    def validator(self) -> str:
        """The value for If-Range; empty if the server sends none."""
        return self.last_modified if not self.etag or self.etag.startswith("W/") else self.etag


class Part:
    """The received part of a file for `target`."""

    def __init__(self, target: Path, *, origin: str) -> None:
        self.target = target
        self.origin = origin
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(_NOTE)

    @property
    def size(self) -> int:
        """In bytes; 0 before anything is received."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def identity(self) -> Identity | None:
        """The file that this is a part of; None if it cannot be resumed."""
        identity = _identity(self.target.parent)
        return identity if identity and identity.origin == self.origin else None

    def is_complete(self) -> bool:
        """Whether all bytes are received."""
        return (identity := self.identity()) is not None and self.size == identity.size

    def begin(self, identity: Identity) -> None:
        """Discard what was received, and start the file `identity`."""
        self.remove()
        self._note.write_text(json.dumps(dataclasses.asdict(identity)), encoding="utf-8")

    def finish(self) -> None:
        """Move the complete file to `target`."""
        self.path.replace(self.target)
        self._note.unlink()

    def remove(self) -> None:
        """Discard what was received."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _identity(folder: Path) -> Identity | None:
    """The file that the part in `folder` belongs to; None if it cannot be resumed."""
    try:
        identity = Identity(**json.loads((folder / _NOTE).read_text(encoding="utf-8")))
        return identity if identity.size and identity.validator else None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
