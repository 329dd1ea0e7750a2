"""Lists of images in files: a path per line, or a table with the columns path and, optionally, id."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

from semask_cli.errors import UsageError
from semask_cli.io.extras import import_extra
from semask_cli.io.inputs import STDIN, Input, find_inputs, results_stem
from semask_cli.io.regular import open_regular
from semask_cli.io.storage import Place, place


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The inputs of a run: `names` for `find_inputs`, and a `manifest`."""

    names: tuple[str, ...] = ()
    manifest: Path | None = None

    def find(self, *, output: Place) -> Iterator[Input]:
        """The images, found lazily. Raises as `find_inputs` and `read_manifest`."""
        yield from find_inputs(self.names, output=output)
        if self.manifest:
            yield from read_manifest(self.manifest)

    def to_json(self) -> dict[str, Any]:
        """A document with absolute paths, valid in any folder of this machine."""
        names = [name if name == STDIN or "://" in name else os.path.abspath(name) for name in self.names]
        return {"inputs": names, "manifest": os.path.abspath(self.manifest) if self.manifest else None}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`."""
        manifest = document["manifest"]
        return cls(names=tuple(document["inputs"]), manifest=Path(manifest) if manifest else None)


ROWS = 10_000
"""Rows of a Parquet file read at a time."""


def read_manifest(file: Path) -> Iterator[Input]:
    """The images listed in a .txt, .csv or .parquet file, read lazily.

    Paths are relative to the working directory, or URLs. An image's results are named after its id, or else its path.

    Raises:
        UsageError: the file cannot be read or lists nothing, a row has no path, or its id leads out of the output
            folder.
    """
    rows = _READERS.get(file.suffix.lower())
    if rows is None:
        raise UsageError(f"{file} has no suffix of a list of images", f"Use {', '.join(_READERS)}.")
    number = 0
    try:
        for number, row in enumerate(rows(file), start=1):
            yield _input(f"row {number} of {file}", row)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error.reason}") from error
    except csv.Error as error:
        raise UsageError(f"{file} is not valid CSV from row {number + 1} on: {error}", "Close all quotes.") from error
    if not number:
        raise UsageError(f"{file} lists no image")


def _lines(file: Path) -> Iterator[Mapping[str, Any]]:
    with io.TextIOWrapper(open_regular(file), encoding="utf-8-sig", errors="surrogateescape") as lines:
        for line in lines:
            if path := line.rstrip("\r\n"):
                yield {"path": path}


def _csv_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    with io.TextIOWrapper(open_regular(file), encoding="utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines, strict=True)


def _parquet_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    parquet = import_extra("pyarrow.parquet", extra="parquet", purpose=str(file))
    import pyarrow

    try:
        with open_regular(file) as opened:
            table = parquet.ParquetFile(opened)
            columns = [name for name in ("id", "path") if name in table.schema_arrow.names]
            for batch in table.iter_batches(ROWS, columns=columns):
                yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise UsageError(f"{file} is not a Parquet file: {error}") from error


_READERS = {".txt": _lines, ".csv": _csv_rows, ".parquet": _parquet_rows}


def _input(where: str, row: Mapping[str, Any]) -> Input:
    path = row.get("path")
    if not path or not isinstance(path, str) or "\0" in path:
        raise UsageError(f"{where} has no path", "The columns are path and, optionally, id.")
    source = place(path)
    if row.get("id") in (None, ""):
        return Input(source, results_stem(source if isinstance(source, Path) else Path(source.path)))
    stem = PurePosixPath(str(row["id"]))
    if stem.is_absolute() or ".." in stem.parts or not stem.name or "\0" in str(stem):
        raise UsageError(f"{where}: the id {row['id']!r} leads out of the output folder")
    return Input(source, Path(stem))
