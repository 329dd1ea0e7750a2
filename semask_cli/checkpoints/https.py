"""Requests that no server can hold up: bounded in time, over https, and never to a host that was not meant.

Each request runs on a thread of its own and hands over what arrives; the caller waits for that, but never longer than
it is willing to. A server that sends one byte a second keeps a thread busy that nothing waits for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from urllib.parse import urljoin

import requests

from semask_cli.errors import printable
from semask_cli.version import __version__

BLOCK = 64 * 1024  # bytes
_BLOCK_SECONDS = 60  # for a block: slower than about 1 kB/s is no transfer
_PAGE_SECONDS = 60  # for the head of an answer, and for a whole page
_SILENCE = 30  # seconds without a byte
_MAX_PAGE_BYTES = 1_000_000

# A strict form, so that no two parsers of addresses can see different hosts in it.
_ADDRESS = re.compile(r"https://([a-z0-9.-]+)(?::(?:443|[0-9]{4,5}))?(?:[/?#][!-~]*)?", re.IGNORECASE)
DRIVE = re.compile(
    r"https://(drive\.google\.com|docs\.google\.com|drive\.usercontent\.google\.com"
    r"|([a-z0-9-]+\.)+googleusercontent\.com)(:443)?([/?#].*)?",
    re.IGNORECASE,
)
"""The addresses of Google Drive."""

ANYWHERE = re.compile(r".*")
"""For files whose digest is known: a server that a user has named may lead to any other, over https."""


class BrokenOffError(Exception):
    """The transfer ended early; what has arrived is kept. The text says why, in a few words."""


class ConnectionLostError(BrokenOffError):
    """The connection ended: another try may go on."""


class RefusedError(Exception):
    """What the server sends is not what a published file would be. The text says why, in a few words."""


def host_of(address: str) -> str:
    """The host of an https address, in lower case; empty if the address has another form."""
    match = _ADDRESS.fullmatch(address)
    return match[1].lower() if match else ""


def redirected(address: str, location: str) -> str:
    """The address that a redirect from `address` leads to.

    Raises:
        RefusedError: it cannot be read.
    """
    try:
        return urljoin(address, location)
    except ValueError:
        raise RefusedError("a redirect to an address that cannot be read") from None


class Session(requests.Session):
    """Follows no redirect: requests would read the body of each into memory, however long.

    Its requests go to `allowed` addresses alone.
    """

    def __init__(self, allowed: re.Pattern[str]) -> None:
        super().__init__()
        self.allowed = allowed

    def get_redirect_target(self, response: requests.Response) -> str | None:
        return None


def session(allowed: re.Pattern[str] = DRIVE) -> Session:
    """A session that keeps cookies, with the proxy and the certificates of the environment."""
    opened = Session(allowed)
    opened.headers["User-Agent"] = f"semask/{__version__}"
    opened.headers["Accept-Encoding"] = "identity"  # offsets count the bytes of the file
    return opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The head of a server's answer, and its body as it arrives."""

    url: str
    status: int
    headers: Mapping[str, str]
    _items: Queue[object]

    def blocks(self) -> Iterator[bytes]:
        """The body in blocks of 64 kB.

        Raises:
            BrokenOffError: it arrives too slowly, or ends early.
            RefusedError: it is compressed, and was not asked to be.
        """
        if _encoding(self.headers) != "identity":
            raise RefusedError("a compressed file, which was not asked for")
        ended = False
        while not ended:
            block, ended = self._take(BLOCK, seconds=_BLOCK_SECONDS)
            if block:
                yield block

    def page(self) -> str:
        """The body as text.

        Raises:
            BrokenOffError: it arrives too slowly, or ends early.
            RefusedError: it is longer than any page should be.
        """
        content, ended = self._take(_MAX_PAGE_BYTES, seconds=_PAGE_SECONDS)
        if not ended:
            raise RefusedError(f"a page of more than {_MAX_PAGE_BYTES // 1_000_000} MB")
        return content.decode("utf-8", errors="replace")

    def _take(self, size: int, *, seconds: float) -> tuple[bytes, bool]:
        """At least `size` bytes of the body, or what there is until its end; whether this is the end."""
        deadline = time.monotonic() + seconds
        content = bytearray()
        while len(content) < size:
            piece = _next(self._items, deadline)
            if not isinstance(piece, bytes):
                return bytes(content), True
            content += piece
        return bytes(content), False


@contextmanager
def get(session: Session, url: str, *, headers: Mapping[str, str] | None = None) -> Iterator[Answer]:
    """The answer to a request, as long as the block lasts.

    Raises:
        RefusedError: `url` is not over https, or not one that the session may ask; or the body is encoded.
        BrokenOffError: there is no answer; the subclass if another try may help.
    """
    if not host_of(url) or not session.allowed.fullmatch(url):
        server = "Google Drive" if session.allowed is DRIVE else "a server"
        raise RefusedError(f"us to {printable(url, limit=80)}, which is not {server} over https")
    items: Queue[object] = Queue(maxsize=4)
    ended = Event()
    Thread(target=_receive, args=(session, url, dict(headers or {}), items, ended), daemon=True).start()
    try:
        response = _next(items, time.monotonic() + _PAGE_SECONDS)
        assert isinstance(response, requests.Response)
        if _encoding(response.headers) not in ("identity", "gzip"):  # a bomb within a bomb has two
            raise RefusedError("an answer in an encoding that was not asked for")
        yield Answer(url=url, status=response.status_code, headers=response.headers, _items=items)
    finally:
        ended.set()


def _encoding(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Encoding", "").strip().lower() or "identity"


def _receive(session: Session, url: str, headers: dict[str, str], items: Queue[object], ended: Event) -> None:
    """Put the response, then its body in pieces, then None, or what went wrong; until `ended`."""
    try:
        with session.get(url, headers=headers, stream=True, timeout=_SILENCE) as response:
            _put(items, response, ended)
            for piece in response.iter_content(BLOCK):
                if ended.is_set():
                    return
                _put(items, piece, ended)
            _put(items, None, ended)
    except Exception as error:  # anything that a server can provoke in requests, urllib3 and http.client
        _put(items, error, ended)


def _put(items: Queue[object], item: object, ended: Event) -> None:
    while not ended.is_set():
        try:
            return items.put(item, timeout=0.5)
        except Full:
            pass
    return None


def _next(items: Queue[object], deadline: float) -> object:
    """What the thread puts next; what went wrong is raised."""
    try:
        if (seconds := deadline - time.monotonic()) <= 0:  # however much is in the queue
            raise Empty
        item = items.get(timeout=seconds)
    except Empty:
        raise BrokenOffError("the server sends too slowly") from None
    if isinstance(item, requests.exceptions.SSLError | requests.exceptions.ProxyError):
        raise BrokenOffError(f"the connection failed ({type(item).__name__})") from item
    if isinstance(item, requests.RequestException | OSError):
        raise ConnectionLostError(f"the connection failed ({type(item).__name__})") from item
    if isinstance(item, Exception):
        raise BrokenOffError(f"the server's answer cannot be read ({type(item).__name__})") from item
    return item
