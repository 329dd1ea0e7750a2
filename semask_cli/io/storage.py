"""Files in any store that fsspec knows: s3://, gs://, https://, memory:// and others.

A file is written in one request, which stores publish atomically. Failed requests are retried a few times. Credentials
are left to fsspec: its configuration, the store's own files and environment variables.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from semask_cli.errors import ImageError, OutputError, SemaskError, UsageError
from semask_cli.io.files import whole_file, write_atomically, writing
from semask_cli.io.images import MAX_STREAM, ImageSource
from semask_cli.io.regular import open_regular

ATTEMPTS, FIRST_WAIT = 4, 0.25
"""Attempts per request, and seconds before the second one; each further wait is twice as long."""

_WEB = ("http", "https")
_SILENCE, _PATIENCE = 30, 60  # seconds without a byte from a web server; of attempts, after which none is begun
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError, ValueError)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A file or folder of a store: s3://bucket/photos/one.jpg."""

    url: str

    @property
    def name(self) -> str:
        """The last part of the URL, without a query."""
        return self.path.rpartition("/")[2]

    @property
    def path(self) -> str:
        """The URL without protocol, and of a web address without its query, as a signed one has it."""
        protocol, _, path = self.url.partition("://")
        return (path.partition("?")[0] if protocol in _WEB else path).rstrip("/")

    def __truediv__(self, part: str | Path) -> Address:
        return Address(f"{self.url.rstrip('/')}/{Path(part).as_posix()}")

    def with_name(self, name: str) -> Address:
        """The file `name` in the same folder."""
        return Address(f"{self.url.rstrip('/').rpartition('/')[0]}/{name}")

    def __str__(self) -> str:
        return self.url


Place = Path | Address
"""Where a file is: on this machine, or in a store."""


def place(text: str) -> Place:
    """The place that a user names: a URL has "://"."""
    return Address(text) if "://" in text else Path(text)


def absolute(source: Place) -> str:
    """The path or URL of a file, valid in any process."""
    return str(source.absolute()) if isinstance(source, Path) else source.url


def image_source(source: Place) -> ImageSource:
    """The source for `read_image`: the path, or a stream with the bytes and name of a file in a store.

    Raises:
        ImageError: it cannot be read from the store.
    """
    if isinstance(source, Path):
        return source
    try:
        content = io.BytesIO(_get(source, _content))
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {source}") from error
    except OSError as error:
        raise ImageError(f"cannot read {source}: {_reason(error)}") from error
    content.name = source.url
    return content


def _content(files: Any, path: str) -> bytes:
    """All bytes of an image's file; of a web server's, which may never end, no more than any image has."""
    if not path.startswith(_WEB):
        return files.cat_file(path)
    content = bytearray()
    with files.open(path, "rb", block_size=0, size=1) as file:  # as a stream, without a question for the size
        while block := file.read(1 << 20):
            content += block
            if len(content) > MAX_STREAM:
                raise ImageError(f"{path} has more than {MAX_STREAM >> 20} MiB", "Give the image as a file.")
    return bytes(content)


def write(target: Place, content: bytes) -> None:
    """Write a file atomically, replacing an existing one.

    Raises:
        OutputError: it cannot be written.
    """
    if isinstance(target, Path):
        write_atomically(target, content)
    else:
        _put(target, lambda files, path: files.pipe_file(path, content))


@contextmanager
def whole_file_at(target: Place) -> Iterator[Path]:
    """As `files.whole_file`, for any place: a file for a store is written locally first.

    Raises:
        OutputError: it cannot be written.
    """
    if isinstance(target, Path):
        with whole_file(target) as unfinished:
            yield unfinished
        return
    with tempfile.TemporaryDirectory() as folder:
        unfinished = Path(folder) / target.name
        yield unfinished
        _put(target, lambda files, path: files.put_file(str(unfinished), path))


def remove(target: Place) -> None:
    """Remove a file, if it exists.

    Raises:
        OutputError: it cannot be removed.
    """
    with writing(str(target)), suppress(FileNotFoundError):
        if isinstance(target, Path):
            target.unlink()
        else:
            _get(target, lambda files, path: files.rm_file(path))


def read(source: Address) -> bytes:
    """All bytes of a file in a store.

    Raises:
        OSError: it cannot be read.
    """
    return _get(source, lambda files, path: files.cat_file(path))


@contextmanager
def reading(source: Place) -> Iterator[BinaryIO]:
    """A seekable file; from a store, only the parts that are read are fetched.

    Raises:
        OSError: it does not exist, or cannot be read.
    """
    if isinstance(source, Path):
        with open_regular(source) as file:
            yield file
        return
    with _get(source, lambda files, path: files.open(path, "rb")) as file:
        yield file


def state(source: Place) -> str | None:
    """A text that changes when the file does (size, and time or digest as the store has it); None without a file."""
    try:
        if isinstance(source, Path):
            status = source.stat()
            return f"{status.st_size} {status.st_mtime_ns}"
        info = _with_retries(source, lambda files, path: files.info(path))
    except OSError:
        return None
    keys = ("size", "ETag", "etag", "LastModified", "mtime", "created")
    return " ".join(str(info[key]) for key in keys if key in info)


def size(source: Place) -> int | None:
    """The size of a file in bytes; None without one, or if the store does not tell.

    Raises:
        OSError: the store does not answer.
    """
    try:
        if isinstance(source, Path):
            return source.stat().st_size
        return _get(source, lambda files, path: files.info(path)).get("size")
    except FileNotFoundError:
        return None


def listed(folder: Address) -> dict[Address, bool]:
    """The entries of a folder of a store, each with whether it is a folder.

    A key such as "a//b.jpg" makes a folder without a name, which cannot be listed by itself: its files are entries.

    Raises:
        OSError: it cannot be listed.
    """

    def request(files: Any, path: str) -> dict[Address, bool]:
        own = path.rstrip("/")
        entries = {entry["name"]: entry["type"] == "directory" for entry in files.ls(path, detail=True)}
        nameless = entries.pop(f"{own}/", False)
        found = {folder / name.rstrip("/").rpartition("/")[2]: is_folder for name, is_folder in entries.items()}
        for name in files.find(path, prefix="/") if nameless else ():
            if name.startswith(f"{own}//"):
                found[Address(folder.url.rstrip("/") + name.removeprefix(own))] = False
        return found

    return _get(folder, request)


def files_in(folder: Place, ending: str) -> list[Place]:
    """The entries of a folder with this suffix, sorted; none if there is no such folder.

    Raises:
        OSError: it cannot be listed.
    """
    return [entry for entry in _entries(folder) if entry.name.endswith(ending)]


def folders_in(folder: Place) -> list[Place]:
    """The entries of a folder without a suffix. Raises as `files_in`."""
    return [entry for entry in _entries(folder) if "." not in entry.name]


def _entries(folder: Place) -> list[Place]:
    if isinstance(folder, Path):
        return sorted(folder.iterdir()) if folder.is_dir() else []
    try:
        names = _get(folder, lambda files, path: files.ls(path, detail=False))
    except FileNotFoundError:
        return []
    return [folder / str(name).rstrip("/").rpartition("/")[2] for name in sorted(names)]


def _get(source: Address, request: Callable[[Any, str], Value]) -> Value:
    try:
        return _with_retries(source, request)
    except (OSError, SemaskError):
        raise
    except Exception as error:  # each kind of store has errors of its own
        raise OSError(0, _reason(error), source.url) from error


def _put(target: Address, request: Callable[[Any, str], object]) -> None:
    try:
        _with_retries(target, request)
    except SemaskError:
        raise
    except Exception as error:
        raise OutputError(f"cannot write {target}: {_reason(error)}", "Check its URL and your credentials.") from error


def _with_retries(address: Address, request: Callable[[Any, str], Value]) -> Value:
    """The result of `request(file_system, path)`, after up to ATTEMPTS."""
    files, path = _file_system(address.url.partition("://")[0]), None
    patience = time.monotonic() + _PATIENCE
    for attempt in range(ATTEMPTS):
        try:
            path = path or files._strip_protocol(address.url)
            return request(files, path)
        except (*_LASTING, SemaskError):
            raise
        except Exception:
            if attempt == ATTEMPTS - 1 or time.monotonic() > patience:
                raise
            time.sleep(FIRST_WAIT * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


@cache
def _file_system(protocol: str) -> Any:
    try:
        import fsspec

        options: dict[str, Any] = {}
        if protocol in _WEB:
            from aiohttp import ClientTimeout

            options["client_kwargs"] = {"timeout": ClientTimeout(total=300, sock_connect=_SILENCE, sock_read=_SILENCE)}
        return fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True, **options)
    except ImportError as error:
        raise UsageError(
            f"{protocol}:// cannot be used: {error}", "Install it: pip install 'semask[remote]'."
        ) from error
    except ValueError as error:
        raise UsageError(f"{protocol}:// is not a protocol that fsspec knows") from error


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).partition("\n")[0]
