"""HTTPS requests with hard limits on time and size, and only to allowed hosts.

Each request runs on its own thread, which passes on what arrives; the caller waits with a deadline. A server that sends
one byte per second blocks only a thread that nothing waits for.
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
_BLOCK_SECONDS = 60  # per block: at least about 1 kB/s
_PAGE_SECONDS = 60  # for the head of an answer, and for a whole page
_SILENCE = 30  # seconds without a byte
_MAX_PAGE_BYTES = 1_000_000
_MAX_WAIT = 30  # seconds that a busy server may ask for
_TEMPORARY = frozenset((408, 425, 429, *range(500, 600)))  # statuses after which a retry may help

# Strict, so that no two URL parsers can see different hosts.
_ADDRESS = re.compile(r"https://([a-z0-9.-]+)(?::(?:443|[0-9]{4,5}))?(?:[/?#][!-~]*)?", re.IGNORECASE)
DRIVE = re.compile(
    r"https://(drive\.google\.com|docs\.google\.com|drive\.usercontent\.google\.com"
    r"|([a-z0-9-]+\.)+googleusercontent\.com)(:443)?([/?#].*)?",
    re.IGNORECASE,
)
"""The URLs of Google Drive."""

ANYWHERE = re.compile(r".*")
"""Any https URL, for files whose digest is known."""


class BrokenOffError(Exception):
    """The transfer ended early; the received part is kept. The text gives the reason."""


class ConnectionLostError(BrokenOffError):
    """The connection was lost, or the server is busy: a retry may help, after `seconds` at least."""

    def __init__(self, reason: str, *, seconds: int = 0) -> None:
        super().__init__(reason)
        self.seconds = seconds


class RefusedError(Exception):
    """The server sent something else than a published file. The text names it, as in "the server sent {text}"."""


def host_of(address: str) -> str:
    """The host of an https URL, in lower case; empty for another form."""
    match = _ADDRESS.fullmatch(address)
    return match[1].lower() if match else ""


def redirected(address: str, location: str) -> str:
    """The URL that a redirect from `address` leads to.

    Raises:
        RefusedError: it is invalid.
    """
    try:
        return urljoin(address, location)
    except ValueError:
        raise RefusedError("a redirect to an invalid URL") from None


class Session(requests.Session):
    """A session for `allowed` URLs only, which does not follow redirects.

    (`requests` would read the body of each redirect into memory, however long.)
    """

    def __init__(self, allowed: re.Pattern[str]) -> None:
        super().__init__()
        self.allowed = allowed

    def get_redirect_target(self, response: requests.Response) -> str | None:
        return None


def session(allowed: re.Pattern[str] = DRIVE) -> Session:
    """A session with cookies, and the proxy and certificates of the environment."""
    opened = Session(allowed)
    opened.headers["User-Agent"] = f"semask/{__version__}"
    opened.headers["Accept-Encoding"] = "identity"  # offsets must count the bytes of the file
    return opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The head of a server's answer, and its body as it arrives."""

    url: str
    status: int
    headers: Mapping[str, str]
    _items: Queue[object]

    def redirect(self) -> str | None:
        """The address to which the server redirects; None for an answer that is no redirect.

        Raises:
            ConnectionLostError: the server is busy or failed; a retry may help.
        """
        self.refuse_busy()
        return self.headers.get("Location") if 300 <= self.status < 400 else None

    def refuse_busy(self) -> None:
        """Raises ConnectionLostError if the server is busy or failed; a retry may help."""
        if self.status in _TEMPORARY:
            asked = self.headers.get("Retry-After", "").strip()
            seconds = min(int(asked), _MAX_WAIT) if re.fullmatch(r"[0-9]{1,18}", asked) else 0
            raise ConnectionLostError(f"the server answered {self.status}", seconds=seconds)

    def blocks(self) -> Iterator[bytes]:
        """The body in blocks of at least 64 KiB.

        Raises:
            BrokenOffError: it arrives too slowly, or ends early.
            RefusedError: it is compressed, which was not requested.
        """
        if _encoding(self.headers) != "identity":
            raise RefusedError("a compressed file, which was not requested")
        ended = False
        while not ended:
            block, ended = self._take(BLOCK, seconds=_BLOCK_SECONDS)
            if block:
                yield block

    def page(self) -> str:
        """The body as text.

        Raises:
            BrokenOffError: it arrives too slowly, or ends early.
            RefusedError: it is too long for a page.
        """
        content, ended = self._take(_MAX_PAGE_BYTES, seconds=_PAGE_SECONDS)
        if not ended:
            raise RefusedError(f"a page of more than {_MAX_PAGE_BYTES // 1_000_000} MB")
        return content.decode("utf-8", errors="replace")

    def _take(self, size: int, *, seconds: float) -> tuple[bytes, bool]:
        """At least `size` bytes of the body, or all until its end; and whether this is the end."""
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
    """The answer to a request, for the duration of the block.

    Raises:
        RefusedError: `url` is not https, or not allowed; or the body has an unexpected encoding.
        BrokenOffError: there is no answer; ConnectionLostError if a retry may help.
    """
    if not host_of(url) or not session.allowed.fullmatch(url):
        server = "Google Drive" if session.allowed is DRIVE else "a server"
        raise RefusedError(f"a redirect to {printable(url, limit=80)}, which is not {server} over https")
    items: Queue[object] = Queue(maxsize=4)
    ended = Event()
    Thread(target=_receive, args=(session, url, dict(headers or {}), items, ended), daemon=True).start()
    try:
        response = _next(items, time.monotonic() + _PAGE_SECONDS)
        assert isinstance(response, requests.Response)
        if _encoding(response.headers) not in ("identity", "gzip"):  # nested compression bombs have two
            raise RefusedError("an answer in an encoding that was not requested")
        yield Answer(url=url, status=response.status_code, headers=response.headers, _items=items)
    finally:
        ended.set()


def _encoding(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Encoding", "").strip().lower() or "identity"


def _receive(session: Session, url: str, headers: dict[str, str], items: Queue[object], ended: Event) -> None:
    """Put the response, its body in pieces, then None, or an exception; until `ended`."""
    try:
        with session.get(url, headers=headers, stream=True, timeout=_SILENCE) as response:
            _put(items, response, ended)
            for piece in response.iter_content(BLOCK):
                if ended.is_set():
                    return
                _put(items, piece, ended)
            _put(items, None, ended)
    except Exception as error:  # whatever a server can provoke in requests, urllib3 and http.client
        _put(items, error, ended)


def _put(items: Queue[object], item: object, ended: Event) -> None:
    while not ended.is_set():
        try:
            return items.put(item, timeout=0.5)
        except Full:
            pass
    return None


def _next(items: Queue[object], deadline: float) -> object:
    """The next item from the thread; an exception is raised."""
    try:
        if (seconds := deadline - time.monotonic()) <= 0:  # even if the queue has items
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
