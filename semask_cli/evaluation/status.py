"""The progress of an evaluation, read from its journal, during or after the run and from any machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semask_cli.distributed.status import RunStatus, rate
from semask_cli.errors import UsageError
from semask_cli.evaluation.journal import journal_files, journal_lines, journal_settings
from semask_cli.io.journal import is_time


def read_evaluations(folder: Path) -> list[RunStatus]:
    """The evaluations whose journal is `folder` or a folder in it, the latest first.

    Raises:
        UsageError: there is none, or its header is damaged.
        OutputError: a journal cannot be read.
    """
    folders = [each for each in (folder, *folder.glob("*")) if journal_files(each)]
    if not folders:
        raise UsageError(
            f"there is no journal in {folder}",
            "Name the output of `semask predict -o`, or a --journal of `semask eval`.",
        )
    return sorted(map(_status, folders), key=lambda run: run.last or 0, reverse=True)


def _status(folder: Path) -> RunStatus:
    """The status over all shards in the folder."""
    settings = journal_settings(folder)
    done: dict[str, float] = {}
    images: list[int | None] = []
    for file in journal_files(folder):
        header, *records = journal_lines(file) or [None]
        announced = (header or {}).get("images")
        images.append(announced if type(announced) is int else None)
        done |= {record["id"]: _moment(record) for record in records if record and isinstance(record.get("id"), str)}
    counts = [count for count in images if count is not None]
    return RunStatus(
        settings=settings,
        done=len(done),
        failures=(),
        left=max(0, sum(counts) - len(done)) if len(counts) == len(images) else None,
        per_second=rate(done.values()),
        last=max(done.values(), default=None),
    )


def _moment(record: Mapping[str, Any]) -> float:
    """The Unix time at which a record was written; 0 where it does not say."""
    moment = record.get("at")
    return moment if is_time(moment) else 0.0
