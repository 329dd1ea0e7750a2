"""What a run over many images has done, noted in the folder of its results: the same command again goes on.

`OUT/.semask-journal/DIGEST/shard-I-of-N.jsonl` (see `io.journal`): a folder for each combination of settings, and in it
a file for each process. An image is done when its key is there: a hash of its id, of the size and time of its source,
and of the size and time of each of its files. So what has changed since is done again, and whatever the number of
shards was, nothing is done twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semask_cli.distributed.shards import Shard, stable_hash
from semask_cli.errors import OutputError, SemaskError
from semask_cli.io.journal import JournalWriter, read_lines, settings_digest
from semask_cli.io.manifest import Inputs

JOURNAL = ".semask-journal"
FORMAT = "semask run 1"
_SYNC_SECONDS = 1.0
_WAY_OUT = "Begin it again with --fresh, or name another folder with -o."


class RunJournal:
    """The journal of the process that does `shard`, below the folder `output`; `done_before` counts what is in it.

    `settings` are all that the files of an image depend on, besides the image. With `fresh` nothing counts as done.

    Raises:
        OutputError: the journal cannot be read or written.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any], *, shard: Shard, fresh: bool = False) -> None:
        self.folder = journal_folder(output, settings)
        path = self.folder / f"shard-{shard.index}-of-{shard.count}.jsonl"
        header = {"format": FORMAT, "settings": settings, "shard": str(shard)}
        try:
            if fresh:
                path.unlink(missing_ok=True)
            self._done = np.zeros(0, np.uint64) if fresh else _keys(self.folder)
            self._writer = JournalWriter(path, header, sync_seconds=_SYNC_SECONDS)
        except OSError as error:
            raise OutputError(f"cannot use the journal {path}: {error.strerror}", _WAY_OUT) from error

    def is_done(self, id: str, source: Path, files: Iterable[Path]) -> bool:
        """Whether the image's files are there, made from this very source."""
        if not len(self._done) or (key := done_key(id, source, files)) is None:
            return False
        place = int(np.searchsorted(self._done, np.uint64(key)))
        return place < len(self._done) and int(self._done[place]) == key

    def note(self, id: str, source: Path, files: Iterable[Path], *, error: SemaskError | None = None) -> None:
        """Record that the image's files are written, or why they are not.

        Raises:
            OutputError: the journal cannot be written.
        """
        line: dict[str, Any] = {"id": f"{stable_hash(id):016x}", "at": round(time.time(), 3)}
        if error:
            line |= {"failed": type(error).__name__, "message": error.message}
        elif key := done_key(id, source, files):
            line["done"] = f"{key:016x}"
        self._append(line)

    def note_inputs(self, inputs: Inputs) -> None:
        """Record what the run is over, for who asks how much is left.

        Raises:
            OutputError: the journal cannot be written.
        """
        self._append({**inputs.to_json(), "at": round(time.time(), 3)})

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            self._writer.append(line)
        except OSError as error:
            raise OutputError(f"cannot write the journal in {self.folder}: {error.strerror}", _WAY_OUT) from error


def journal_folder(output: Path, settings: Mapping[str, Any]) -> Path:
    """Where the journal of a run with these settings is kept."""
    return output / JOURNAL / settings_digest(settings)


def done_key(id: str, source: Path, files: Iterable[Path]) -> int | None:
    """64 bits of what an image and its files are now; None where one of them is not there."""
    try:
        states = [os.stat(path) for path in (source, *files)]
    except OSError:
        return None
    return stable_hash("\0".join((id, *(f"{state.st_size} {state.st_mtime_ns}" for state in states))))


def _keys(folder: Path) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """All keys in the journal's files, sorted."""
    keys = [
        int(line["done"], 16)
        for file in sorted(folder.glob("shard-*.jsonl"))
        for line in read_lines(file)
        if line and "done" in line
    ]
    return np.unique(np.array(keys, np.uint64))
