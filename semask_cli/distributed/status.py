"""The progress of a run, read from its journals, during or after the run and from any machine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from semask_cli.distributed.run_journal import JOURNAL
from semask_cli.distributed.run_records import read_journal
from semask_cli.distributed.shards import stable_hash
from semask_cli.errors import OutputError, SemaskError
from semask_cli.io.manifest import Inputs
from semask_cli.io.storage import Place, folders_in

RECENT = 300.0
"""Seconds before the last image, over which the rate is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The number of `images` that failed with one kind of error, and the message of one of them."""

    kind: str
    images: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A run with one set of `settings`, over all its shards.

    `left` is the number of images that are neither done nor failed, None if the inputs cannot be listed. `per_second`
    is the recent rate of all processes together, `last` the Unix time of the last image; None before the first.
    """

    settings: Mapping[str, Any]
    done: int
    failures: tuple[Failure, ...]
    left: int | None
    per_second: float | None
    last: float | None

    @property
    def seconds_left(self) -> float | None:
        """The time left at this rate; None if unknown."""
        return self.left / self.per_second if self.left is not None and self.per_second else None

    def seconds_idle(self) -> float:
        """Seconds since the last image."""
        return time.time() - self.last if self.last else 0.0


def read_status(output: Place) -> list[RunStatus]:
    """The runs that have written to the folder `output`, the latest first; none if there is no journal.

    Raises:
        OutputError: a journal cannot be read.
    """
    try:
        folders = folders_in(output / JOURNAL)
    except OSError as error:
        raise OutputError(f"cannot read the journals in {output}: {error.strerror}") from error
    runs = [_status(output, folder) for folder in folders]
    return sorted(runs, key=lambda run: run.last or 0, reverse=True)


def _status(output: Place, folder: Place) -> RunStatus:
    settings: Mapping[str, Any] = {}
    inputs: dict[Inputs, None] = {}
    failed: dict[str, tuple[str, str] | None] = {}
    times: list[float] = []
    for line in _lines(output, folder):
        if "settings" in line:
            settings = line["settings"]
        elif "inputs" in line:
            inputs[Inputs.from_json(line)] = None
        elif "id" in line:
            failed[line["id"]] = (line["failed"], line["message"]) if "failed" in line else None
            times.append(line["at"])
    failures: dict[str, list[str]] = {}
    for kind, message in filter(None, failed.values()):
        failures.setdefault(kind, []).append(message)
    return RunStatus(
        settings=settings,
        done=sum(state is None for state in failed.values()),
        failures=tuple(
            Failure(kind=kind, images=len(messages), example=messages[0]) for kind, messages in sorted(failures.items())
        ),
        left=_count_left(inputs, output, failed) if inputs else None,
        per_second=rate(times),
        last=max(times, default=None),
    )


def rate(times: Iterable[float]) -> float | None:
    """Images per second over the last RECENT seconds of these Unix times; None if no time has passed."""
    moments = sorted(times)
    recent = [moment for moment in moments if moment >= moments[-1] - RECENT]
    spent = recent[-1] - recent[0] if recent else 0.0
    return (len(recent) - 1) / spent if spent else None


def _lines(output: Place, folder: Place) -> Iterator[dict[str, Any]]:
    try:
        yield from read_journal(output, folder)
    except OSError as error:
        raise OutputError(f"cannot read the journal {folder}: {error.strerror}") from error


def _count_left(inputs: Iterable[Inputs], output: Place, seen: Mapping[str, object]) -> int | None:
    """None if the inputs cannot be listed."""
    try:
        return sum(
            f"{stable_hash(entry.id):016x}" not in seen for named in inputs for entry in named.find(output=output)
        )
    except SemaskError:
        return None
