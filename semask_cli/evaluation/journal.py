"""The journal of an evaluation: the counts of each image, so that a killed run loses at most one image.

A folder with one file per process (see `io.journal`): a header with the settings of the run, then a record per image,
synced to disk before the next. Damaged lines are skipped. Figures depend only on the set of records, not on the run,
process or order in which they were made.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semask_cli.errors import OutputError, UsageError
from semask_cli.evaluation.records import Record, parsed_record
from semask_cli.io.cache import cache_folder
from semask_cli.io.files import writing
from semask_cli.io.journal import JournalWriter, read_lines, settings_digest

_FORMAT = "semask journal 3"
_NAMES = ("dataset", "split", "model", "masks", "precision")
_ANOTHER = "Name another one with --journal, or start over with --fresh."
_GO_ON = "Free some space there, if the disk is full, and start the same command again: what is done is kept."
Settings = Mapping[str, Any]
"""All that an image's counts depend on: model, weights, views, label encoding, versions. JSON values only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContents:
    """The `records` of a journal, in any order; several for an image whose files have changed.

    `damaged` counts the complete lines that fail their checksum.
    """

    records: tuple[Record, ...]
    damaged: int


class Journal:
    """The journal in `folder`, appending to file `number`. Thread-safe.

    `classes` is the number of classes of the records, `images` the expected number of records, for `status`.

    Raises:
        UsageError: the journal has other settings, which the message names, or a damaged header.
        OutputError: the folder cannot be read or written.
    """

    def __init__(
        self, folder: Path, settings: Settings, *, classes: int, number: int = 0, images: int | None = None
    ) -> None:
        self.folder, self._settings, self._classes = folder, settings, classes
        self.read()  # refuses other settings before anything is written
        header = {"format": _FORMAT, "settings": settings, "images": images}
        with self._writing(_ANOTHER):
            self._writer = JournalWriter(journal_file(folder, number), header)

    def read(self) -> JournalContents:
        """All records in the folder.

        Raises:
            UsageError, OutputError: as the class.
        """
        return read_journals([self.folder], self._settings, classes=self._classes)

    def append(self, record: Record) -> None:
        """Write one record and sync it to disk.

        Raises:
            OutputError: it cannot be written.
        """
        with self._writing(_GO_ON):
            self._writer.append(record.to_json() | {"at": round(time.time(), 3)})

    def _writing(self, suggestion: str) -> AbstractContextManager[None]:
        return writing(f"the journal {self.folder}", suggestion=suggestion)


def read_journals(
    folders: Iterable[Path], settings: Settings, *, classes: int, advice: str = _ANOTHER
) -> JournalContents:
    """All records in the journals of several folders, which must have these settings; `advice` is for when they do not.

    Raises:
        UsageError, OutputError: as `Journal`.
    """
    records: list[Record] = []
    damaged = 0
    for folder in folders:
        for file in journal_files(folder):
            lines = journal_lines(file)
            if lines:
                earlier = _settings(file, lines.pop(0))
                if changed := differing_settings(earlier, json.loads(json.dumps(settings))):
                    raise UsageError(f"the journal {file} belongs to another evaluation: {changed}", advice)
            read = [parsed_record(fields or {}, classes) for fields in lines]
            records += filter(None, read)
            damaged += read.count(None)
    return JournalContents(records=tuple(records), damaged=damaged)


def evaluations_folder() -> Path:
    """The folder in the cache for journals without a folder of their own."""
    return cache_folder() / "evaluations"


def default_journal(title: str, settings: Settings) -> Path:
    """The default folder for the journal of a run: one in the cache for each title and combination of settings."""
    name = "-".join(filter(None, (title, settings["dataset"], settings["split"], settings_digest(settings))))
    return evaluations_folder() / name


def journal_settings(folder: Path) -> Settings:
    """The settings of the journal in `folder`.

    Raises:
        UsageError: there is none, or its header is damaged.
        OutputError: the folder cannot be read.
    """
    for file in journal_files(folder):
        if lines := journal_lines(file):
            return _settings(file, lines[0])
    raise UsageError(f"there is no journal in {folder}", "Name a folder that was a --journal.")


def _settings(file: Path, header: Mapping[str, Any] | None) -> Settings:
    if not header or header.get("format") != _FORMAT or not _are_settings(header.get("settings")):
        raise UsageError(
            f"the first line of the journal {file} is damaged, or was written by another version of semask",
            _ANOTHER,
        )
    settings: Settings = header["settings"]
    return settings


def _are_settings(value: object) -> bool:
    """Whether these are settings, whose names are texts."""
    return isinstance(value, dict) and all(isinstance(value.get(key, ""), str) for key in _NAMES)


def differing_settings(earlier: Settings, settings: Settings) -> str:
    """A description of the differences between settings; empty if there are none."""
    changed = [key for key in {**earlier, **settings} if earlier.get(key) != settings.get(key)]
    return "; ".join(f"{key} was {earlier.get(key)!r}, is {settings.get(key)!r}" for key in changed)


def journal_file(folder: Path, number: int) -> Path:
    """The file that a process appends to, by the number of its shard."""
    return folder / f"rank-{number}.jsonl"


def journal_files(folder: Path) -> list[Path]:
    """The files of the journal in `folder`; none if there is no folder.

    Raises:
        OutputError: the folder cannot be read.
    """
    try:
        return sorted(folder.glob("rank-*.jsonl"))
    except OSError as error:
        raise OutputError(f"cannot read the journal {folder}: {error.strerror}", _ANOTHER) from error


def journal_folders(named: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The journal folders among these folders and their direct sub-folders.

    Raises:
        UsageError: one of them has none.
    """
    found: list[Path] = []
    for folder in map(Path, named):
        holding = [place for place in (folder, *sorted(folder.glob("*"))) if journal_files(place)]
        if not holding:
            raise UsageError(f"there is no journal in {folder}", "Name a folder that was a --journal.")
        found += holding
    return found


def forget(folder: Path) -> None:
    """Remove the files of the journal in `folder`, and nothing else.

    Raises:
        OutputError: a file cannot be removed.
    """
    for file in journal_files(folder):
        try:
            file.unlink()
        except OSError as error:
            raise OutputError(f"cannot remove the journal {file}: {error.strerror}", _ANOTHER) from error


def journal_lines(file: Path) -> list[dict[str, Any] | None]:
    """The lines of a journal's file, header first; None for a damaged one.

    Raises:
        OutputError: it cannot be read.
    """
    try:
        return list(read_lines(file))
    except OSError as error:
        raise OutputError(f"cannot read the journal {file}: {error.strerror}", _ANOTHER) from error
