"""The journal of an evaluation: what each image counted, kept so that a killed run loses one image at most.

A folder with one file for each process, append-only JSON lines: first a header with the settings of the run, then a
record for each image, on disk (fsync) before the next begins. A line torn by a kill is not valid JSON and is passed
over. Figures are computed from the set of records alone, so it does not matter in which run, by which process or in
which order they were made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semask_cli.errors import OutputError, UsageError
from semask_cli.evaluation.metrics import Counts

_FORMAT = "semask journal 1"
_FILES = "rank-*.jsonl"

Settings = Mapping[str, Any]
"""Whatever changes an image's counts: model, weights, views, label encoding, versions. JSON values only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One labelled object: its class index and `pixels`, those predicted as its class, and as any of its category."""

    label: int
    pixels: int
    right: int
    right_category: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one image counted: `nonzero_counts` are the entries of its confusion matrix as (label, prediction, pixels).

    `files` is the digest of the files behind it: the label, and the image or mask that was scored. `predicted` is
    that of the predicted labels.
    """

    id: str
    files: str
    predicted: str
    nonzero_counts: tuple[tuple[int, int, int], ...]
    instances: tuple[Instance, ...] = ()

    def counts(self, classes: int) -> Counts:
        """The confusion matrix (classes, classes + 1)."""
        counts = np.zeros((classes, classes + 1), np.int64)
        for row, column, pixels in self.nonzero_counts:
            counts[row, column] = pixels
        return counts


def nonzero_counts(counts: Counts) -> tuple[tuple[int, int, int], ...]:
    """The entries of a confusion matrix that are not 0, as (row, column, pixels)."""
    rows, columns = np.nonzero(counts)
    return tuple(zip(rows.tolist(), columns.tolist(), counts[rows, columns].tolist(), strict=True))


class Journal:
    """The journal in `folder`; a process appends to the file of its own `rank` and reads those of all.

    Raises:
        UsageError: the journal was begun with other settings; the message names them.
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, settings: Settings, *, rank: int = 0) -> None:
        self.folder, self._settings = folder, json.loads(json.dumps(settings))
        self.records()  # refuses a journal of other settings before anything is written
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / f"rank-{rank}.jsonl").open("ab+")
            self._cut_torn_line()
            if self._file.tell() == 0:
                self._write({"format": _FORMAT, "settings": self._settings})
        except OSError as error:
            raise OutputError(f"cannot write the journal {folder}: {error.strerror}") from error

    def records(self) -> list[Record]:
        """Every record in the folder, in no order that matters; several for an image whose files have changed."""
        records: list[Record] = []
        for file in sorted(self.folder.glob(_FILES)):
            lines = _whole_lines(file)
            if lines:
                self._refuse_other_settings(file, lines[0])
            records += map(_record, lines[1:])
        return records

    def append(self, record: Record) -> None:
        """Write one record and see it onto the disk.

        Raises:
            OutputError: it could not be written.
        """
        instances = [
            (instance.label, instance.pixels, instance.right, instance.right_category) for instance in record.instances
        ]
        line = {
            "id": record.id,
            "files": record.files,
            "predicted": record.predicted,
            "cells": record.nonzero_counts,
            "instances": instances,
        }
        try:
            self._write(line)
        except OSError as error:
            raise OutputError(f"cannot write the journal {self.folder}: {error.strerror}") from error

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _cut_torn_line(self) -> None:
        self._file.seek(0)
        self._file.truncate(self._file.read().rfind(b"\n") + 1)
        self._file.seek(0, os.SEEK_END)

    def _refuse_other_settings(self, file: Path, header: Mapping[str, Any]) -> None:
        earlier = header.get("settings", {}) if header.get("format") == _FORMAT else {}
        changed = [key for key in {**earlier, **self._settings} if earlier.get(key) != self._settings.get(key)]
        if changed:
            was = "; ".join(f"{key} was {earlier.get(key)!r}, is {self._settings.get(key)!r}" for key in changed)
            raise UsageError(
                f"the journal {file} belongs to another evaluation: {was}",
                "Name another one with --journal, or begin it again with --fresh.",
            )


def forget(folder: Path) -> None:
    """Remove the journal in `folder`, and nothing else there."""
    for file in folder.glob(_FILES):
        file.unlink()


def labels_digest(labels: NDArray[np.uint8]) -> str:
    """SHA-256 of class indices (H, W) uint8."""
    return hashlib.sha256(repr(labels.shape).encode() + labels.tobytes()).hexdigest()


def settings_digest(settings: Settings) -> str:
    """Eight hexadecimal digits that differ where settings differ."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def _whole_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a journal without the torn ones."""
    lines = []
    for line in file.read_bytes().split(b"\n"):
        with suppress(ValueError):  # also UnicodeDecodeError
            lines.append(json.loads(line))
    return lines


def _record(line: Mapping[str, Any]) -> Record:
    return Record(
        id=line["id"],
        files=line["files"],
        predicted=line["predicted"],
        nonzero_counts=tuple((row, column, pixels) for row, column, pixels in line["cells"]),
        instances=tuple(
            Instance(label=label, pixels=pixels, right=right, right_category=right_category)
            for label, pixels, right, right_category in line["instances"]
        ),
    )
