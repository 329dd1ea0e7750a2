"""Published files from mirrors instead of Google Drive: the folders and servers in a zoo file or $SEMASK_MIRROR.

A mirror holds files NAME@LABEL.pth and an index of their digests, SHA256SUMS, in the format of `sha256sum`, as made by
`semask download --to`. Its address is a folder, file://, https://, hf://OWNER/NAME (a model repository of Hugging
Face), or any other that fsspec knows (s3://, gs://), with the extra `semask[remote]`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from semask_cli.checkpoints import https, store, transfer
from semask_cli.checkpoints.https import Answer, BrokenOffError, RefusedError, Session
from semask_cli.checkpoints.parts import Identity, Part
from semask_cli.errors import printable
from semask_cli.io.files import write_atomically, writing
from semask_cli.zoo import ModelSpec

if TYPE_CHECKING:
    from semask_cli.checkpoints.store import Progress

__all__ = ["BrokenOffError", "Place", "RefusedError", "add_to_index", "fetch", "places"]

log = logging.getLogger(__name__)

VARIABLE = "SEMASK_MIRROR"
"""Addresses of mirrors, separated by spaces."""

INDEX = "SHA256SUMS"
_WEB = ("https://", "hf://")
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_MAX_INDEX_BYTES = 1_000_000
_STEPS = 8  # redirects before a file


@dataclass(frozen=True, slots=True)
class Place:
    """The address of a file, and its expected SHA-256."""

    address: str
    sha256: str


def places(spec: ModelSpec, *, local: bool = False) -> Iterator[Place]:
    """Where to download the model's file: the user's mirrors in order, then the URLs of the zoo file.

    With `local`, only those on this machine. Mirrors whose index is unreadable, or lacks the file, are skipped.
    """
    file, name = store.published_file(spec), store.download_path(spec).name
    for base in os.environ.get(VARIABLE, "").split():
        if (not local or _local(base)) and (digest := _index(base).get(name)):
            yield Place(_inside(base, name), digest)
    for address in file.urls:
        if not local or _local(address):
            yield Place(address, file.sha256.lower())


def fetch(place: Place, target: Path, *, max_bytes: int, progress: Progress | None = None) -> None:
    """Download a file of at most `max_bytes` to `target`, in a private folder (see `parts`).

    Raises:
        BrokenOffError: the transfer ended early; over https, the received part is kept and resumed.
        RefusedError: it is not the file with the expected digest; nothing is kept.
        OutputError: the disk has no space.
    """
    part = Part(target, origin=place.address)
    if place.address.startswith(_WEB):
        with https.session(https.ANYWHERE) as session:
            opened = partial(_answer, session, _web_address(place.address))
            transfer.fetch(part, session, opened, max_bytes=max_bytes, progress=progress)
    else:
        _copy(place, part, max_bytes=max_bytes, progress=progress)
    if (digest := store.sha256(target)) != place.sha256:
        raise RefusedError(f"a file whose SHA-256 is {digest}, where {place.sha256} is listed")


def add_to_index(path: Path, digest: str) -> None:
    """Add the SHA-256 of a file to the index beside it, replacing an earlier line; all other lines stay.

    Raises:
        OutputError: the index cannot be read or written.
    """
    index = path.with_name(INDEX)
    with store.locked(INDEX), writing(index):
        lines = index.read_bytes().decode(errors="surrogateescape").splitlines() if index.exists() else []
        others = [line for line in lines if path.name not in _parsed(line)]
        content = "".join(f"{line}\n" for line in [*others, f"{digest}  {path.name}"])
        write_atomically(index, content.encode(errors="surrogateescape"))


@cache
def _index(base: str) -> dict[str, str]:
    """The digests of a mirror's files by name; empty if it has no readable index, which is said once."""
    try:
        return _parsed(_text(_inside(base, INDEX)))
    except RefusedError as error:
        reason = f"it sent {error}"
    except OSError as error:
        reason = error.strerror or str(error)
    except (BrokenOffError, ValueError) as error:
        reason = str(error)
    log.warning("the mirror %s is not used, since its %s cannot be read: %s", printable(base), INDEX, reason)
    return {}


def _parsed(text: str) -> dict[str, str]:
    return {match[2]: match[1] for line in text.splitlines() if (match := _LINE.fullmatch(line))}


def _text(address: str) -> str:
    if address.startswith(_WEB):
        with https.session(https.ANYWHERE) as session, _answer(session, _web_address(address)) as answer:
            return answer.page()
    with _open(address) as (file, _):
        return file.read(_MAX_INDEX_BYTES).decode()


@contextmanager
def _answer(session: Session, url: str) -> Iterator[Answer]:
    """The answer with the file itself, after redirects."""
    for _ in range(_STEPS):
        with https.get(session, url) as answer:
            if (location := answer.redirect()) is not None:
                url = https.redirected(url, location)
            elif answer.status != 200:
                raise RefusedError(f"the answer {answer.status}")
            else:
                yield answer
                return
    raise RefusedError(f"{_STEPS} redirects, and no file")


def _copy(place: Place, part: Part, *, max_bytes: int, progress: Progress | None) -> None:
    """Copy a file that is not on the web, from its beginning."""
    try:
        with _open(place.address) as (file, size):
            identity = Identity(origin=place.address, size=size, etag="", last_modified="")
            part.begin(identity)
            transfer.write(_blocks(file), part, identity, max_bytes=max_bytes, progress=progress)
    except FileNotFoundError:
        raise RefusedError("nothing: there is no such file") from None


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    try:
        while block := file.read(2**20):
            yield block
    except Exception as error:  # a store's own kinds of errors
        raise BrokenOffError(f"the store failed ({type(error).__name__})") from error


@contextmanager
def _open(address: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """A file of this machine or of a store, and its size if known.

    Raises:
        RefusedError: the package for such addresses is not installed.
        BrokenOffError: the store fails.
        OSError: it cannot be opened.
    """
    if path := _local(address):
        with path.open("rb") as file:
            yield file, path.stat().st_size
        return
    try:
        import fsspec

        opened = fsspec.open(address, "rb").open()
    except (ImportError, ValueError) as error:
        raise RefusedError(f"nothing: {error} (pip install 'semask[remote]' brings S3 and Google Cloud)") from error
    except FileNotFoundError:
        raise
    except Exception as error:
        raise BrokenOffError(f"the store failed ({type(error).__name__})") from error
    with opened as file:
        yield file, getattr(file, "size", None)


def _local(address: str) -> Path | None:
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if "://" in address else Path(address).expanduser()


def _inside(base: str, name: str) -> str:
    return f"{base.rstrip('/')}/{name}"


def _web_address(address: str) -> str:
    """hf://OWNER/NAME/FILE as an https URL of Hugging Face."""
    if not address.startswith("hf://"):
        return address
    owner, name, file = (*address.removeprefix("hf://").split("/", 2), "", "")[:3]
    return f"https://huggingface.co/{owner}/{name}/resolve/main/{file}"
