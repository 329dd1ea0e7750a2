"""Files of checksummed lines that only grow: what was done, kept so that a killed run goes on where it was.

A line is a JSON object whose last member, "crc", is the CRC-32 of the object's other bytes. The first line is a header
that says what the others belong to. A line that is not what was written is read as None; one that a kill has torn at
the end is cut off before more is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from semask_cli.io.regular import open_regular

_BLOCK = 1 << 16


class JournalWriter:
    """Appends to the journal at `path`, which is begun with `header` where there is none. For several threads.

    A line is on disk when `append` returns; with `sync_seconds` the disk is waited for only so often: a kill loses
    nothing by that, a power failure the lines of that time.

    Raises:
        OSError: the file or its folders cannot be made or written.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], *, sync_seconds: float = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+")
        self._lock, self._sync_seconds, self._synced = Lock(), sync_seconds, 0.0
        self._cut_torn_line()
        if self._file.tell() == 0:
            self.append(header)

    def append(self, fields: Mapping[str, Any]) -> None:
        """Write one line.

        Raises:
            OSError: it could not be written.
        """
        line = encoded(fields)
        with self._lock:
            self._file.write(line)
            self._file.flush()
            if time.monotonic() >= self._synced + self._sync_seconds:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()

    def close(self) -> None:
        """Wait until all of it is on the disk."""
        with self._lock, self._file:
            os.fsync(self._file.fileno())

    def _cut_torn_line(self) -> None:
        end = position = self._file.seek(0, os.SEEK_END)
        while position > 0:
            position = self._file.seek(max(0, position - _BLOCK))
            newline = self._file.read(_BLOCK).rfind(b"\n")
            if newline >= 0:
                position += newline + 1
                break
        if position < end:
            self._file.truncate(position)
        self._file.seek(0, os.SEEK_END)


def read_lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """The lines of a journal, header first, without what a kill has torn at its end; None for a damaged one.

    Raises:
        OSError: it cannot be read, or is not a file.
    """
    with open_regular(path) as file:
        for line in file:
            if line.endswith(b"\n"):
                yield decoded(line)


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that differ where settings, JSON values, differ."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def encoded(fields: Mapping[str, Any]) -> bytes:
    """A line of a journal, of one field or more."""
    body = json.dumps(fields, separators=(",", ":")).encode()
    return b'%b,"crc":%d}\n' % (body[:-1], zlib.crc32(body))


def decoded(line: bytes) -> dict[str, Any] | None:
    """What was written as this line; None if it is no longer that."""
    body, mark, checksum = line.rpartition(b',"crc":')
    body += b"}"
    if not mark or checksum != b"%d}\n" % zlib.crc32(body):
        return None
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):  # something else, with its right checksum
        return None
    return fields if isinstance(fields, dict) else None
