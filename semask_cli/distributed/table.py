"""One Parquet file of all results: `-o results.parquet`.

During a run, results are parts (see `distributed.parts`) in a hidden folder beside the file. At the end they are joined
into the file and removed; the file lists their names, so that the journal still counts them. Every step leaves a
complete file and all parts that are not in it: a kill loses nothing.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from semask_cli.errors import OutputError
from semask_cli.io.extras import import_extra
from semask_cli.io.storage import Place, reading, remove, whole_file_at

ENDING = ".parquet"
ROWS, BYTES = 10_000, 128 << 20
"""Rows and bytes after which a row group ends, which a reader holds in memory."""

log = logging.getLogger(__name__)
_FOLDER_ENDING = ".parts"
_PARTS = b"semask.parts"
_REMOVE = "Remove it; its images will be segmented again."


def pyarrow() -> Any:
    """Import pyarrow, with its submodule `parquet`.

    Raises:
        UsageError: it is not installed.
    """
    import_extra("pyarrow.parquet", extra="parquet", purpose="Parquet")
    import pyarrow

    return pyarrow


def is_table(output: Place) -> bool:
    """Whether an output is a table, by its suffix."""
    return output.name.endswith(ENDING)


def parts_folder(table: Place) -> Place:
    """The folder of a table's parts and journal."""
    return table.with_name(f".{table.name}{_FOLDER_ENDING}")


def table_of(folder: Place) -> Place | None:
    """The table of a folder of parts; None for any other folder."""
    name = folder.name
    is_hidden = name.startswith(".") and name.endswith(ENDING + _FOLDER_ENDING)
    return folder.with_name(name[1 : -len(_FOLDER_ENDING)]) if is_hidden else None


def joined_parts(table: Place) -> set[str]:
    """The names of the parts in a table; none if there is no table, or one that is damaged or of another program.

    Raises:
        OSError: it cannot be read.
    """
    arrow = pyarrow()
    try:
        with reading(table) as file:
            facts = arrow.parquet.read_metadata(file).metadata or {}
            return set(map(str, json.loads(facts.get(_PARTS, b"[]"))))
    except FileNotFoundError:
        return set()
    except _damage() as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        _report_damage(table)
        return set()


@cache
def _report_damage(table: Place) -> None:
    log.warning("%s is damaged, or no table of semask: it will be replaced", table)


def _damage() -> tuple[type[Exception], ...]:
    """What pyarrow raises for a damaged file; of its OSErrors those have no number."""
    return OSError, pyarrow().ArrowException, ValueError, TypeError


def join(table: Place, parts: Sequence[Place], *, prefix: str) -> None:
    """Add `parts`, oldest first, to the table, and remove them.

    Rows in the table stay if they came from parts with the `prefix`, otherwise they are replaced. If an image has
    several rows, the latest is kept. Without new parts, a table that another program has changed is read once more.

    Raises:
        OutputError: a part cannot be read or removed, the table cannot be written, or it is damaged.
    """
    try:
        inside = joined_parts(table)
        if new := [part for part in parts if part.name not in inside]:
            stay = {name for name in inside if name.startswith(prefix)}
            _write(table, [table, *new] if stay else new, names=sorted(stay | {part.name for part in new}))
        elif _has_changed(table):
            deque(_groups(table), maxlen=0)  # compares the checksums
    except _damage() as error:
        reason = str(error).partition("\n")[0]
        raise OutputError(f"cannot join the parts of {table}: {reason}", _REMOVE) from error
    for part in parts:
        remove(part)


def _has_changed(table: Place) -> bool:
    """Whether a table of this machine is newer than the folder of its parts, which were removed after the join."""
    folder = parts_folder(table)
    if not (isinstance(table, Path) and isinstance(folder, Path)):
        return False
    return table.stat().st_mtime_ns > folder.stat().st_mtime_ns


def _write(table: Place, sources: Sequence[Place], *, names: Sequence[str]) -> None:
    arrow = pyarrow()
    latest = {id: number for number, source in enumerate(sources) for id in _ids(source)}

    def rows() -> Iterator[Any]:
        for number, source in enumerate(sources):
            for group in _groups(source):
                yield group.filter([latest[id] == number for id in group["id"].to_pylist()])

    with _reading(sources[0]) as file:
        schema = arrow.parquet.read_schema(file).with_metadata({_PARTS: json.dumps(names)})
    with (
        whole_file_at(table) as unfinished,
        arrow.parquet.ParquetWriter(unfinished, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for group in _regrouped(rows()):
            writer.write_table(group)


@contextmanager
def _reading(source: Place) -> Iterator[Any]:
    """Open a Parquet file; errors become an OutputError that names it.

    A file of this machine is Arrow's own: one of its threads may still hold what Python has read when the program ends,
    and would abort it.
    """
    try:
        with (
            reading(source) as file,
            pyarrow().OSFile(os.fsencode(source)) if isinstance(source, Path) else nullcontext(file) as opened,
        ):
            yield opened
    except _damage() as error:
        raise OutputError(f"cannot read {source}: {error}", _REMOVE) from error


def _ids(source: Place) -> list[str]:
    arrow = pyarrow()
    with _reading(source) as file:
        return arrow.parquet.read_table(file, columns=["id"], page_checksum_verification=True)["id"].to_pylist()


def _groups(source: Place) -> Iterator[Any]:
    """The row groups of a file."""
    with _reading(source) as file:
        parquet = pyarrow().parquet.ParquetFile(file, page_checksum_verification=True)
        for number in range(parquet.num_row_groups):
            yield parquet.read_row_group(number)


def _regrouped(tables: Iterator[Any]) -> Iterator[Any]:
    """The rows in groups of about ROWS or BYTES."""
    held: list[Any] = []
    for table in tables:
        held.append(table)
        if sum(each.num_rows for each in held) >= ROWS or sum(each.nbytes for each in held) >= BYTES:
            yield pyarrow().concat_tables(held)
            held = []
    if held:
        yield pyarrow().concat_tables(held)
