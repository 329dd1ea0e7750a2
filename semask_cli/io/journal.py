"""Append-only files of checksummed lines, which record what is done so that a killed run can resume.

A line is a JSON object whose last member, "crc", is the CRC-32 of the object's other bytes. The first line is a header
that identifies the run. A damaged line is read as None; an incomplete last line is cut off before more is written.
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
from typing import Any, TypeGuard

from semask_cli.io.regular import open_regular

_BLOCK = 1 << 16
_LATEST = 1e12  # seconds since 1970, which no run will reach


class JournalWriter:
    """Appends to the journal at `path`; a new one starts with `header`. Thread-safe.

    A line is on disk when `append` returns. With `sync_seconds`, fsync is called only so often: a kill still loses
    nothing, a power failure the lines since.

    Raises:
        OSError: the file or its folders cannot be created or written.
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
        """Sync the file to disk and close it."""
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
    """The complete lines of a journal, header first; None for a damaged one.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    with open_regular(path) as file:
        for line in file:
            if line.endswith(b"\n"):
                yield decoded(line)


def settings_digest(settings: Mapping[str, Any]) -> str:
    """A short digest of settings (JSON values): eight hexadecimal digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def is_time(value: object) -> TypeGuard[float]:
    """Whether `value` can be the time of a line: seconds since 1970."""
    return isinstance(value, int | float) and 0 <= value < _LATEST


def encoded(fields: Mapping[str, Any]) -> bytes:
    """The journal line of one or more fields."""
    body = json.dumps(fields, separators=(",", ":")).encode()
    return b'%b,"crc":%d}\n' % (body[:-1], zlib.crc32(body))


def decoded(line: bytes) -> dict[str, Any] | None:
    """The fields of a journal line; None if it is damaged."""
    body, mark, checksum = line.rpartition(b',"crc":')
    body += b"}"
    if not mark or checksum != b"%d}\n" % zlib.crc32(body):
        return None
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):  # not written by `encoded`, yet with a valid checksum
        return None
    return fields if isinstance(fields, dict) else None
