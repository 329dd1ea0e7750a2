"""Reading the files of a run's journal: only lines that this version writes, about parts that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from semask_cli.distributed.table import joined_parts, table_of
from semask_cli.io.journal import decoded, is_time, read_lines, settings_digest
from semask_cli.io.storage import Place, files_in, folders_in, read, size

FORMAT = "semask run 1"

_HASH = re.compile("[0-9a-f]{16}")


def parts_there(output: Place) -> tuple[set[str], set[str]]:
    """The names of the parts in a folder, and of those joined into its table."""
    table = table_of(output)
    names = {file.name for file in files_in(output, "") if file.name.startswith("part-")}
    return names, joined_parts(table) if table else set()


def read_journal(output: Place, folder: Place) -> Iterator[dict[str, Any]]:
    """The intact lines of all files of the journal in `folder`, except those of parts that are not in `output`.

    Lines and files written by another version are skipped. A part whose size has changed gives the line
    {"damaged": its name}.

    Raises:
        OSError: a file cannot be read.
    """
    parts, joined = parts_there(output)
    for file in files_in(folder, ".jsonl"):
        part = file.name.removesuffix(".jsonl")
        if not (part.startswith("shard-") or part in parts or part in joined):
            continue
        lines = read_lines(file) if isinstance(file, Path) else map(decoded, read(file).splitlines(keepends=True))
        for line in filter(None, lines):
            if "format" in line and line["format"] != FORMAT:
                break
            if not _is_known(line, digest=folder.name):
                continue
            if "size" in line and part not in joined and size(output / part) != line["size"]:
                yield {"damaged": part}
                break
            yield line


def settings_beside(output: Place, runs: Place, *, own: str) -> Iterator[dict[str, Any]]:
    """The settings of the other runs into `output`: of the journals in `runs` that are not in the folder called `own`.

    Raises:
        OSError: a file cannot be read.
    """
    for other in folders_in(runs):
        if other.name != own:
            yield from islice((line["settings"] for line in read_journal(output, other) if "settings" in line), 1)


def _is_known(line: Mapping[str, Any], *, digest: str) -> bool:
    """Whether this version writes such lines, for settings with this digest. Readers check nothing else."""
    match line:
        case {"settings": dict(settings)}:
            replaces = line.get("replaces", [])
            return settings_digest(settings) == digest and _are_texts(replaces) and type(line.get("size", 0)) is int
        case {"at": at, "inputs": names, "manifest": str() | None}:
            return is_time(at) and _are_texts(names)
        case {"at": at, "id": str(id)}:
            done, said = line.get("done", id), [line["failed"], line.get("message")] if "failed" in line else []
            return is_time(at) and _are_texts([done, *said]) and all(map(_HASH.fullmatch, (id, done)))
    return False


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
