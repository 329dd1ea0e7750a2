"""The journal of a run over many images, in its output folder: the same command resumes the run.

`OUT/.semask-journal/DIGEST/shard-I-of-N.jsonl` (see `io.journal`): one folder for each combination of settings, with
one file for each process. An image is done if its key is recorded: a hash of its id, and of the size and time of its
source and of each output file. So an image that has changed is done again, and nothing is done twice, for any number
of shards.

If results are collected in parts (`distributed.parts`), `DIGEST/PART.jsonl` lists the contents of a part. It counts if
the part exists, or is in the table it was joined into (`distributed.table`). Its header names the small parts that it
replaces; the next run removes those that a kill has left.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semask_cli.distributed.run_records import FORMAT, parts_there, read_journal, settings_beside
from semask_cli.distributed.shards import Shard, stable_hash
from semask_cli.distributed.table import table_of
from semask_cli.errors import OutputError, SemaskError, printable
from semask_cli.io.files import writing
from semask_cli.io.journal import JournalWriter, encoded, settings_digest
from semask_cli.io.manifest import Inputs
from semask_cli.io.storage import Address, Place, files_in, remove, state, write

JOURNAL = ".semask-journal"
SAVE_SECONDS = 30.0
"""How often files that cannot be appended to are saved: parts, and a journal in a store."""

log = logging.getLogger(__name__)
_SYNC_SECONDS = 1.0
_SEGMENT_LINES = 10_000
# The settings of labels that a user chooses; other kinds of files may well be added to a folder.
_OF_LABELS = (
    *("model", "row", "checkpoint", "precision", "engine", "quantization"),
    *("mode", "crop", "stride", "scales", "flip", "smooth"),
)
_BEGIN_AGAIN = "Start over with --fresh, or name another folder with -o."
_GO_ON = "Free some space there, if the disk is full, and start the same command again: what is done is kept."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An image that is done, or has failed with an `error`, at the Unix time `at`.

    `source` is the `storage.state` of the image before it was read: it may have changed since.
    """

    id: str
    source: str | None
    error: SemaskError | None
    at: float


class RunJournal:
    """The journal of the process for `shard`, below the folder `output`.

    `settings` are all that an image's files depend on, besides the image. With `fresh` nothing counts as done, and the
    shard's parts are removed. `part_prefix` is the prefix of the names of parts with these settings.

    Raises:
        OutputError: the journal cannot be read or written.
    """

    def __init__(self, output: Place, settings: Mapping[str, Any], *, shard: Shard, fresh: bool = False) -> None:
        self.folder = journal_folder(output, settings)
        self._output, self._name = output, f"{shard.index}-of-{shard.count}"
        self.part_prefix = f"part-{self.folder.name}-"
        self._header = {"format": FORMAT, "settings": settings, "shard": str(shard)}
        try:
            if fresh:
                own = f"{self.part_prefix}{self._name}-"
                self.remove_parts(part.name for part in self.parts() if part.name.startswith(own))
                self._done = np.zeros(0, np.uint64)
            else:
                self._done = self._read()
            self._writer: JournalWriter | _Segments
            if isinstance(self.folder, Path):
                path = self.folder / f"shard-{self._name}.jsonl"
                if fresh:
                    path.unlink(missing_ok=True)
                self._writer = JournalWriter(path, self._header, sync_seconds=_SYNC_SECONDS)
            else:
                self._writer = _Segments(self.folder, f"shard-{self._name}", self._header)
        except OSError as error:
            advice = _BEGIN_AGAIN if isinstance(self.folder, Path) else "Check its URL and your credentials."
            raise OutputError(f"cannot use the journal {self.folder}: {error.strerror}", advice) from error
        if shard.index == 0 and table_of(output) is None:  # a table drops other results, and one process tells
            self._warn_of_others(settings)

    def is_done(self, id: str, source: Place, files: Iterable[Place]) -> bool:
        """Whether the image's files exist, unchanged and made from the current source."""
        if not len(self._done) or (key := done_key(id, state(source), files)) is None:
            return False
        place = int(np.searchsorted(self._done, np.uint64(key)))
        return place < len(self._done) and int(self._done[place]) == key

    def note(self, id: str, source: str | None, files: Iterable[Place], *, error: SemaskError | None = None) -> None:
        """Record that the image's files are written, or why they are not. `source` and `error` as in `Entry`.

        Raises:
            OutputError: the journal cannot be written.
        """
        entry = Entry(id=id, source=source, error=error, at=time.time())
        self._append(_line(entry, None if error else done_key(id, source, files)))

    def next_part(self, ending: str) -> str:
        """An unused name for a part, which no other run into this folder will take.

        Raises:
            OutputError: the journal cannot be written.
        """
        names = (f"{self.part_prefix}{self._name}-{number:06d}{ending}" for number in self._numbers)
        return next(name for name in names if self._claim(name))

    def _claim(self, part: str) -> bool:
        """Take the name of a part: false if another run has it. In a store this is checked, but not reserved."""
        note = self.folder / f"{part}.jsonl"
        if not isinstance(note, Path):
            return state(note) is None
        with writing(note), suppress(FileExistsError):
            note.open("xb").close()
            return True
        return False

    def parts(self) -> list[Place]:
        """The parts in the folder with these settings, oldest first."""
        noted = {file.name.removesuffix(".jsonl") for file in files_in(self.folder, ".jsonl")}
        if not any(name.startswith(self.part_prefix) for name in noted):
            return []  # do not list a folder with perhaps a million files
        there = [file for file in files_in(self._output, "") if file.name in noted]
        return sorted(there, key=lambda part: _number(part.name))

    def note_part(self, part: str, entries: Iterable[Entry], *, size: int, replaces: Sequence[str] = ()) -> None:
        """Record what is in a part that is about to be written.

        `size` is that of the part in bytes: one of another size is damaged, and does not count. Once the part is there,
        those that it `replaces` no longer count. In a folder of parts an error counts as done too: retrying the image
        would add a second row.

        Raises:
            OutputError: the journal cannot be written.
        """
        lines = [encoded({**self._header, "size": size} | ({"replaces": replaces} if replaces else {}))]
        in_folder = table_of(self._output) is None
        for entry in entries:
            key = done_key(entry.id, entry.source, ()) if in_folder or not entry.error else None
            lines.append(encoded(_line(entry, key)))
        write(self.folder / f"{part}.jsonl", b"".join(lines))

    def remove_parts(self, names: Iterable[str]) -> None:
        """Remove parts and their journal files.

        Raises:
            OutputError: one cannot be removed.
        """
        for name in names:
            remove(self._output / name)
            remove(self.folder / f"{name}.jsonl")

    def note_inputs(self, inputs: Inputs) -> None:
        """Record the inputs of the run, for `status`.

        Raises:
            OutputError: the journal cannot be written.
        """
        self._append({**inputs.to_json(), "at": round(time.time(), 3)})

    def close(self) -> None:
        """Write what is still buffered.

        Raises:
            OutputError: it cannot be written.
        """
        with self._writing():
            self._writer.close()

    def _warn_of_others(self, settings: Mapping[str, Any]) -> None:
        with suppress(OSError):  # another run's journal is not needed
            for others in settings_beside(self._output, self._output / JOURNAL, own=self.folder.name):
                if changed := [key for key in _OF_LABELS if others.get(key) != settings.get(key)]:
                    was, now = (printable(str(each.get(changed[0]))) for each in (others, settings))
                    log.warning(
                        "%s was written with other settings (%s was %s, is %s): files of other names stay",
                        *(self._output, changed[0], was, now),
                    )
                    return

    @cached_property
    def _numbers(self) -> Iterator[int]:
        """Part numbers above all existing ones with these settings, so that a later part has a larger number."""
        there = (part for part in set().union(*parts_there(self._output)) if part.startswith(self.part_prefix))
        return count(max(map(_number, there), default=-1) + 1)

    def _read(self) -> NDArray[np.uint64]:
        """All keys in the journal, sorted. Removes parts that were replaced or are damaged."""
        keys, replaced = [], set()
        for line in read_journal(self._output, self.folder):
            if "done" in line:
                keys.append(int(line["done"], 16))
            replaced.update(line.get("replaces", ()))
            if "damaged" in line:
                log.warning("%s is damaged: its images are segmented again", self._output / line["damaged"])
                replaced.add(line["damaged"])
        if replaced:
            self.remove_parts(file.name for file in files_in(self._output, "") if file.name in replaced)
        return np.unique(np.array(keys, np.uint64))

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._writing():
            self._writer.append(line)

    def _writing(self) -> AbstractContextManager[None]:
        return writing(f"the journal in {self.folder}", suggestion=_GO_ON)


class _Segments:
    """A journal in a store, where nothing can be appended: new lines are periodically written as another file.

    The first line is written at once: a store that cannot be written ends the run before its first image. A kill loses
    the lines since the last file. Thread-safe.
    """

    def __init__(self, folder: Address, name: str, header: Mapping[str, Any]) -> None:
        self._folder, self._name, self._header = folder, name, encoded(header)
        self._number = len(files_in(folder, ".jsonl"))
        self._lines: list[bytes] = []
        self._written, self._lock = -math.inf, Lock()

    def append(self, line: Mapping[str, Any]) -> None:
        with self._lock:
            self._lines.append(encoded(line))
            if len(self._lines) >= _SEGMENT_LINES or time.monotonic() >= self._written + SAVE_SECONDS:
                self._publish()

    def close(self) -> None:
        with self._lock:
            if self._lines:
                self._publish()

    def _publish(self) -> None:
        while state(segment := self._folder / f"{self._name}-{self._number:06d}.jsonl") is not None:
            self._number += 1  # another run into this folder has written it
        write(segment, self._header + b"".join(self._lines))
        self._number, self._lines, self._written = self._number + 1, [], time.monotonic()


def journal_folder(output: Place, settings: Mapping[str, Any]) -> Place:
    """The folder of the journal of runs with these settings."""
    return output / JOURNAL / settings_digest(settings)


def done_key(id: str, source: str | None, files: Iterable[Place]) -> int | None:
    """A 64-bit hash of the state of an image before it was read, and of its files now; None if one is missing."""
    states = [source, *map(state, files)]
    if None in states:
        return None
    return stable_hash("\0".join((id, *filter(None, states))))


def _line(entry: Entry, key: int | None) -> dict[str, Any]:
    line: dict[str, Any] = {"id": f"{stable_hash(entry.id):016x}", "at": round(entry.at, 3)}
    if entry.error:
        line |= {"failed": type(entry.error).__name__, "message": entry.error.message}
    if key is not None:
        line["done"] = f"{key:016x}"
    return line


def _number(part: str) -> int:
    """The number in a name by `next_part`; -1 for any other name."""
    found = re.search(r"-(\d+)\.\w+$", part)
    return int(found[1]) if found else -1
