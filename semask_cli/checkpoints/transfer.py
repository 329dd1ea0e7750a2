"""From a server's answer to a file on disk, resuming an earlier transfer of the same file."""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from semask_cli.checkpoints import https
from semask_cli.checkpoints.https import Answer, ConnectionLostError, RefusedError, Session
from semask_cli.checkpoints.parts import Identity, Part
from semask_cli.errors import OutputError
from semask_cli.io.cache import FREE_SPACE

if TYPE_CHECKING:
    from semask_cli.checkpoints.store import Progress

_ROOM_INTERVAL = 2**20  # bytes between checks of the free space
_RESERVE = 64 * 2**20  # bytes of a disk to keep free; less on a small one
_RETRIES = 5  # after a lost connection


def fetch(
    part: Part,
    session: Session,
    open_file: Callable[[], AbstractContextManager[Answer]],
    *,
    max_bytes: int,
    progress: Progress | None,
) -> None:
    """Complete a part with the answer of `open_file`, with retries after a lost connection.

    Raises:
        BrokenOffError, RefusedError, OutputError: as `drive.fetch`, or from `open_file`.
    """
    if part.is_complete():
        part.finish()
        return
    for attempt in range(_RETRIES + 1):
        try:
            with open_file() as answer:
                receive(session, answer, part, max_bytes=max_bytes, progress=progress)
            return
        except ConnectionLostError as error:
            if attempt == _RETRIES:
                raise
            time.sleep(max(error.seconds, random.uniform(0, 2**attempt)))


def receive(session: Session, answer: Answer, part: Part, *, max_bytes: int, progress: Progress | None) -> None:
    """Write the file in `answer` to the part's target, or only what the part lacks.

    Raises:
        BrokenOffError, RefusedError, OutputError: as `drive.fetch`.
    """
    identity = identity_of(answer.headers, origin=part.origin)
    _check_size(identity.size or 0, max_bytes)
    if part.identity() == identity and 0 < part.size < (identity.size or 0):
        asked = {"Range": f"bytes={part.size}-", "If-Range": identity.validator}
        with https.get(session, answer.url, headers=asked) as rest:
            rest.refuse_busy()  # what was received stays
            if _continues(rest, identity, offset=part.size):
                return write(rest.blocks(), part, identity, max_bytes=max_bytes, progress=progress)
    part.begin(identity)
    return write(answer.blocks(), part, identity, max_bytes=max_bytes, progress=progress)


def identity_of(headers: Mapping[str, str], *, origin: str) -> Identity:
    """The identity of a file according to an answer's headers."""
    return Identity(
        origin=origin,
        size=_number(headers.get("Content-Length", "")),
        etag=_text(headers.get("ETag", "")),
        last_modified=_text(headers.get("Last-Modified", "")),
    )


def _continues(rest: Answer, identity: Identity, *, offset: int) -> bool:
    """Whether an answer is the rest of the file from `offset`."""
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", rest.headers.get("Content-Range", ""))
    if rest.status != 206 or match is None or identity.size is None:
        return False
    same = identity_of(rest.headers, origin=identity.origin)
    return (
        tuple(map(int, match.groups())) == (offset, identity.size - 1, identity.size)
        and same.size in (None, identity.size - offset)
        and (same.etag, same.last_modified) == (identity.etag, identity.last_modified)
    )


def write(
    blocks: Iterable[bytes], part: Part, identity: Identity, *, max_bytes: int, progress: Progress | None
) -> None:
    """Append `blocks` to the part, which completes the file.

    Raises:
        BrokenOffError, RefusedError, OutputError: as `drive.fetch`.
    """
    received = checked = part.size
    _check_room(part, (identity.size or 0) - received)
    try:
        with part.path.open("ab") as file:
            for block in blocks:
                received += len(block)
                _check_size(received, max_bytes)
                if received - checked >= _ROOM_INTERVAL:
                    _check_room(part, 0)
                    checked = received
                file.write(block)
                file.flush()  # a kill loses no more than a block
                if progress:
                    progress(received, identity.size)
    except RefusedError:
        part.remove()
        raise
    except BaseException:
        if part.identity() is None:  # it could not be resumed, and takes space
            part.remove()
        raise
    if identity.size not in (None, received):
        raise ConnectionLostError(f"it ended after {received} of {identity.size} bytes")
    part.finish()


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise RefusedError(f"a file of more than {max_bytes / 1e9:.1f} GB")


def _check_room(part: Part, missing: int) -> None:
    usage = shutil.disk_usage(part.path.parent)
    if missing > usage.free - min(_RESERVE, usage.total // 20):
        raise OutputError(
            f"not enough space for {part.target.name} on the disk of {part.path.parent.parent}: "
            + (f"{missing / 1e6:.0f} MB are missing, " if missing else "")
            + f"{usage.free / 1e6:.0f} MB are free",
            FREE_SPACE,
        )


def _text(text: str) -> str:
    """A validator that can be sent back; empty if it is invalid."""
    return text if re.fullmatch(r"[!-~][ -~]{0,200}", text) else ""


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text.strip()) else None
