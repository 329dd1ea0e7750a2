"""What a run has written, while it may still be writing."""

from __future__ import annotations

import os
from pathlib import Path


def written_files(folder: Path, ending: str = "") -> dict[str, bytes]:
    """The files below `folder` that end so, by relative path, but the journal's and those that are not whole yet."""
    files = {}
    for place, folders, names in os.walk(folder):  # pathlib fails where a folder goes meanwhile
        folders[:] = [name for name in folders if not name.startswith(".semask-")]
        for path in (Path(place, name) for name in names if name.endswith(ending)):
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return files
