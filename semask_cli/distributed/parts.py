"""Results in a few large files instead of many small ones: parts of a Parquet table, or WebDataset tar files.

A part is written whole, under a name with its shard. Its contents are noted in the journal's folder: an image is done
if its part exists. Parts of another format, or of other settings, do not count.

Until a part is full, its results are saved in small parts every SAVE_SECONDS, which the full one replaces. A kill loses
no more than that, and the small parts that it leaves are as good as any.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal, get_args

from semask_cli.distributed.answers import Answer, as_text
from semask_cli.distributed.run_journal import SAVE_SECONDS, Entry, RunJournal
from semask_cli.distributed.table import BYTES, ROWS, pyarrow
from semask_cli.io.storage import Place, write
from semask_cli.output.kinds import Kind, file_name
from semask_cli.output.paths import Task

Format = Literal["parquet", "webdataset"]
FORMATS: tuple[Format, ...] = get_args(Format)

_ENDINGS: Mapping[Format, str] = {"parquet": ".parquet", "webdataset": ".tar"}


@dataclass(frozen=True, slots=True)
class _Result:
    """The row of an image, and what the journal notes of it."""

    row: dict[str, Any]
    entry: Entry


class Parts:
    """Collects the results of a run into parts in `folder`. Thread-safe.

    `journal` records their contents, `kinds` are the outputs of each image.

    Raises:
        UsageError: the library for the format is not installed.
    """

    def __init__(self, folder: Place, format: Format, kinds: Sequence[Kind], *, journal: RunJournal) -> None:
        if format == "parquet":
            pyarrow()
        self._folder, self._format, self._kinds, self._journal = folder, format, tuple(kinds), journal
        self._results: list[_Result] = []
        self._bytes, self._lock = 0, Lock()
        self._small: list[str] = []  # parts that hold the first `_saved` results
        self._saved, self._saved_at = 0, time.monotonic()

    def add(self, task: Task, answer: Answer, source: str | None) -> None:
        """Add the result or error of an image; `source` as in `run_journal.Entry`.

        Raises:
            OutputError: a part cannot be written.
        """
        with self._lock:
            self._results.append(
                _Result(
                    {"id": task.entry.id, "path": task.entry.name, **answer.to_row()},
                    Entry(id=task.entry.id, source=source, error=answer.error, at=time.time()),
                )
            )
            self._bytes += sum(map(len, answer.files.values()))
            if len(self._results) >= ROWS or self._bytes >= BYTES:
                self._complete()
            elif time.monotonic() >= self._saved_at + SAVE_SECONDS:
                self._small.append(self._written(self._results[self._saved :]))
                self._saved, self._saved_at = len(self._results), time.monotonic()

    def close(self) -> None:
        """Write what has been collected.

        Raises:
            OutputError: the part cannot be written.
        """
        with self._lock:
            if self._results:
                self._complete()

    def _complete(self) -> None:
        self._written(self._results, replaces=self._small)
        self._journal.remove_parts(self._small)
        self._results, self._bytes, self._small = [], 0, []
        self._saved, self._saved_at = 0, time.monotonic()

    def _written(self, results: Sequence[_Result], *, replaces: Sequence[str] = ()) -> str:
        """Write a part with these results, and return its name."""
        rows = [result.row for result in results]
        content = _parquet(rows, self._kinds) if self._format == "parquet" else _tar(rows, self._kinds)
        name = self._journal.next_part(_ENDINGS[self._format])
        entries = [result.entry for result in results]
        self._journal.note_part(name, entries, size=len(content), replaces=replaces)
        write(self._folder / name, content)
        return name


def error_type() -> Any:
    """The Arrow type of `answers.error_row`."""
    arrow = pyarrow()
    return arrow.struct([(name, arrow.string()) for name in ("kind", "message", "suggestion")])


def arrow_schema(kinds: Sequence[str], *, path: bool = False) -> Any:
    """The Arrow schema of the rows of `Answer.to_row`, with outputs of these kinds."""
    arrow = pyarrow()
    text, number, count = arrow.string(), arrow.float64(), arrow.int64()
    share = {"index": count, "name": text, "pixels": count, "share": number, "mean_confidence": number}
    types = {
        "id": text,
        **({"path": text} if path else {}),
        "width": count,
        "height": count,
        **dict.fromkeys(kinds, arrow.large_binary()),
        "classes": arrow.list_(arrow.struct(share.items())),
        "error": error_type(),
        "milliseconds": number,
    }
    return arrow.schema(types.items())


def _parquet(rows: list[dict[str, Any]], kinds: Sequence[Kind]) -> bytes:
    arrow = pyarrow()
    buffer = io.BytesIO()
    texts = [row | {"id": as_text(row["id"]), "path": as_text(row["path"])} for row in rows]
    table = arrow.Table.from_pylist(texts, schema=arrow_schema(kinds, path=True))
    arrow.parquet.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _tar(rows: list[dict[str, Any]], kinds: Sequence[Kind]) -> bytes:
    """WebDataset groups files by their name up to the first dot, so dots (and %) of an id are escaped."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for row in rows:
            stem = row["id"].replace("%", "%25").replace(".", "%2E")
            facts = {key: value for key, value in row.items() if key not in kinds}
            files = {file_name(stem, kind): row[kind] for kind in kinds if row.get(kind) is not None}
            files[f"{stem}.row.json"] = json.dumps(facts, ensure_ascii=False).encode("utf-8", "backslashreplace")
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
