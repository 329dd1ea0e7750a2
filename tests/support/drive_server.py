"""A local server that plays Google Drive, for the real client over real TLS.

It is a proxy: with HTTPS_PROXY and REQUESTS_CA_BUNDLE set (`Drive.environment`), requests for Drive's hosts arrive
here, and production code needs no other address. It answers as Drive does for large files: a redirect, a page that asks
to confirm, then the file, with byte ranges.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

import trustme

FILES_HOST = "drive.usercontent.google.com"
HOSTS = ("drive.google.com", FILES_HOST)

CONFIRM_PAGE = (
    "<!DOCTYPE html><html><body><p>Google Drive can't scan this file for viruses.</p>\n"
    f'<form id="download-form" action="https://{FILES_HOST}/download" method="get">'
    '<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">'
    '<input type="hidden" name="confirm" value="t"></form></body></html>'
)
QUOTA_PAGE = (
    '<!DOCTYPE html><html><body><p class="uc-error-caption">Quota exceeded</p>\n'
    '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p></body></html>'
)

PUBLISHED = "Fri, 24 Dec 2021 10:00:00 GMT"
FILE_HEAD = {
    "Content-Type": "application/octet-stream",
    "Content-Disposition": 'attachment; filename="iter_160000.pth"',
}


class Drive:
    """Holds `files` by id, as long as the context lasts.

    `cut_at`: the next transfer breaks off at this byte. `stall_at`: transfers stop there until the client is gone, and
    `stalled` is set. `over_quota`: nothing is handed out. `transfers`: the Range header (None without one) of each
    request for a file. `headers` are sent with each file, in place of those that identify it. `hostile`, if given,
    answers every request instead.
    """

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, bytes] = {}
        self.transfers: list[str | None] = []
        self.cut_at: int | None = None
        self.stall_at: int | None = None
        self.stalled = threading.Event()
        self.over_quota = False
        self.headers: dict[str, str] | None = None
        self.hostile: Callable[[Answering], None] | None = None
        authority = trustme.CA()
        self._bundle = folder / "drive_ca.pem"
        authority.cert_pem.write_to_path(str(self._bundle))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*HOSTS).configure_cert(self.tls)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answering,), {"drive": self}))
        self._server.daemon_threads = True

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a client of Drive here."""
        proxy = f"http://127.0.0.1:{self._server.server_port}"
        return {"HTTPS_PROXY": proxy, "NO_PROXY": "", "REQUESTS_CA_BUNDLE": str(self._bundle)}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class Answering(BaseHTTPRequestHandler):
    drive: Drive
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        # From here on the client believes that it talks to Google.
        self.connection = self.drive.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self) -> None:
        self.close_connection = bool(self.drive.hostile)
        try:
            (self.drive.hostile or Answering._answer)(self)
        except OSError:  # the client is gone
            self.close_connection = True

    def _answer(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        file = self.drive.files.get(query["id"][0])
        if self.headers["Host"] != FILES_HOST:
            self.reply(303, location=f"https://{FILES_HOST}/download?id={query['id'][0]}&export=download")
        elif file is None:
            self.reply(404, page="<html><body>Not found</body></html>")
        elif self.drive.over_quota:
            self.reply(200, page=QUOTA_PAGE)
        elif "confirm" not in query:
            self.reply(200, page=CONFIRM_PAGE.format(id=query["id"][0]))
        else:
            self._transfer(file)

    def reply(self, status: int, *, page: str = "", location: str = "") -> None:
        self.head(
            status,
            {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(page.encode()))}
            | ({"Location": location} if location else {}),
        )
        self.wfile.write(page.encode())

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _transfer(self, file: bytes) -> None:
        identity = self.drive.headers
        if identity is None:
            identity = {"ETag": f'"{hashlib.sha256(file).hexdigest()[:16]}"', "Last-Modified": PUBLISHED}
        asked = self.headers["Range"]
        self.drive.transfers.append(asked)
        if self.headers["If-Range"] not in (None, *identity.values()):
            asked = None  # another file: all of it
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
        if start >= len(file):
            return self.reply(416)
        part = {"Content-Range": f"bytes {start}-{len(file) - 1}/{len(file)}"} if asked else {}
        self.head(206 if asked else 200, FILE_HEAD | identity | part | {"Content-Length": str(len(file) - start)})
        end = self.drive.cut_at or self.drive.stall_at or len(file)
        self.wfile.write(file[start:end])
        if self.drive.cut_at:
            self.drive.cut_at = None
            self.connection.close()
            self.close_connection = True
        elif self.drive.stall_at:
            self.drive.stalled.set()
            self.rfile.read(1)  # returns when the client is gone
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass
