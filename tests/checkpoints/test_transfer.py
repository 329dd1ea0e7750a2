"""Transfers against a server that changes files, lies, trickles, floods and leads elsewhere."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.checkpoints import drive as client
from semask_cli.checkpoints import https, store, transfer
from semask_cli.checkpoints.download import download
from semask_cli.checkpoints.https import RefusedError
from semask_cli.checkpoints.parts import TRANSFER
from semask_cli.errors import DownloadError, OutputError
from semask_cli.zoo import ModelSpec, Zoo
from tests.support.command_line import start
from tests.support.drive_server import CONFIRM_PAGE, FILE_HEAD, PUBLISHED, Answering, Drive
from tests.support.published import mmseg_file, weights


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a second, and no second try."""
    monkeypatch.setattr(transfer, "_RETRIES", 0)
    monkeypatch.setattr(https, "_BLOCK_SECONDS", 1)
    monkeypatch.setattr(https, "_PAGE_SECONDS", 1)


def part(cache_folder: Path) -> bytes:
    """What is kept of a transfer."""
    return b"".join(path.read_bytes() for path in cache_folder.rglob("*.part") if path.is_file())


def nothing_kept(cache_folder: Path) -> bool:
    return not [path for path in cache_folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def break_off(drive: Drive, spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a download end at half of the file."""
    drive.cut_at = len(drive.files["small-drive-id"]) // 2
    with monkeypatch.context() as patch:
        patch.setattr(transfer, "_RETRIES", 0)
        with pytest.raises(DownloadError, match="broke off"):
            download(spec, zoo)


def change_nothing(drive: Drive, other: bytes) -> None:
    pass


def change_file(drive: Drive, other: bytes) -> None:
    drive.files["small-drive-id"] = other


def change_date(drive: Drive, other: bytes) -> None:
    drive.headers = {"Last-Modified": "Sat, 25 Dec 2021 10:00:00 GMT"}


def change_size(drive: Drive, other: bytes) -> None:
    drive.files["small-drive-id"] += b"\0" * 9


# What identifies the file, what changes on the server between two runs, and whether the second run goes on.
CHANGES = [
    (None, change_nothing, True),
    ({"ETag": '"one"'}, change_nothing, True),
    ({"Last-Modified": PUBLISHED}, change_nothing, True),
    ({}, change_nothing, False),
    ({"ETag": 'W/"weak"'}, change_nothing, False),
    (None, change_file, False),
    ({"Last-Modified": PUBLISHED}, change_date, False),
]


@pytest.mark.parametrize(("headers", "change", "goes_on"), CHANGES)
def test_defect_3_a_download_continues_only_the_same_file(
    headers: dict[str, str] | None,
    change: Callable[[Drive, bytes], None],
    goes_on: bool,
    drive: Drive,
    spec: ModelSpec,
    zoo: Zoo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doubled = {name: 2 * tensor for name, tensor in weights(spec).items()}
    (tmp_path / "other").mkdir()
    other = mmseg_file(tmp_path / "other/published.pth", doubled, ballast=1_000_000).read_bytes()
    assert len(other) == len(drive.files["small-drive-id"])
    drive.headers = headers
    break_off(drive, spec, zoo, monkeypatch)
    change(drive, other)
    download(spec, zoo)
    (tmp_path / "served").write_bytes(drive.files["small-drive-id"])
    sidecar = store.read_sidecar(spec)
    assert sidecar is not None
    assert sidecar.source_sha256 == store.sha256(tmp_path / "served")
    assert (drive.transfers[-1] is not None) == goes_on


def test_defect_3_a_server_that_agrees_to_continue_another_file(
    drive: Drive, spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the range for the new file, with the new file's ETag, whatever If-Range said."""
    break_off(drive, spec, zoo, monkeypatch)
    file = drive.files["small-drive-id"]
    ranges: list[str | None] = []

    def agree(to: Answering) -> None:
        asked = to.headers["Range"]
        ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        etag = '"another"' if asked else drive_etag
        content_range = {"Content-Range": f"bytes {start}-{len(file) - 1}/{len(file)}"} if asked else {}
        head = {"ETag": etag, "Last-Modified": PUBLISHED, "Content-Length": str(len(file) - start)}
        to.head(206 if asked else 200, FILE_HEAD | head | content_range)
        to.wfile.write(b"x" * (len(file) - start) if asked else file)

    (note,) = Path(store.download_path(spec).parent).rglob("*.json")
    drive_etag = json.loads(note.read_text())["etag"]
    drive.hostile = agree
    download(spec, zoo)
    assert ranges[-1] is not None  # it was asked to go on, and its answer was not taken
    assert store.read_sidecar(spec).source_sha256 == hashlib.sha256(file).hexdigest()


@pytest.mark.parametrize("wait", ["0", "999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "-1", "soon"])
def test_too_many_requests_are_asked_again_soon(
    wait: str, drive: Drive, spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the server would have us wait."""
    waited: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", waited.append)

    def busy(to: Answering) -> None:
        drive.hostile = None
        to.head(429, {"Retry-After": wait, "Content-Length": "0"})

    drive.hostile = busy
    assert download(spec, zoo).is_file()
    assert len(waited) == 1
    assert waited[0] < 60


def test_a_busy_server_goes_on_where_it_was(
    drive: Drive, spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    break_off(drive, spec, zoo, monkeypatch)
    received = len(part(cache_folder))
    waited: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", waited.append)

    def busy(to: Answering) -> None:
        if to.headers["Range"] is None:
            return to._answer()
        drive.hostile = None
        return to.head(503, {"Retry-After": "7", "Content-Length": "0"})

    drive.hostile = busy
    download(spec, zoo)
    assert waited == [7]
    assert drive.transfers[-1] == f"bytes={received}-"


def test_a_whole_part_needs_no_network(
    drive: Drive, file: Path, spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    """Killed between the last byte and the conversion."""
    break_off(drive, spec, zoo, monkeypatch)
    (kept,) = cache_folder.rglob("*.pth.part")
    kept.write_bytes(file.read_bytes())
    asked = len(drive.transfers)
    download(spec, zoo)
    assert len(drive.transfers) == asked
    assert not list(cache_folder.rglob(f"*{TRANSFER}"))


def test_a_part_that_is_longer_than_the_file_is_begun_anew(
    drive: Drive, file: Path, spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    break_off(drive, spec, zoo, monkeypatch)
    (kept,) = cache_folder.rglob("*.pth.part")
    kept.write_bytes(file.read_bytes() + b"x" * 100)
    download(spec, zoo)
    assert drive.transfers[-1] is None
    assert store.read_sidecar(spec).source_sha256 == store.sha256(file)


# -- where it leads


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/file",
        "https://127.0.0.1:{port}/file",
        "http://drive.google.com/uc?id=x",
        "https://drive.google.com:8443/uc?id=x",
        "https://drive.google.com.evil.example/",
        "https://drive.google.com@evil.example/",
        "https://evil.example\\@drive.google.com/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::",
        "https://[::1]/",
        "https://evilgoogleusercontent.com/",
        "file:///etc/passwd",
        "ftp://drive.google.com/x",
        "data:text/plain,x",
        "//127.0.0.1/x",
    ],
)
@pytest.mark.parametrize("way", ["redirect", "form"])
def test_defect_14_no_other_host_and_no_plain_http(
    way: str, address: str, drive: Drive, spec: ModelSpec, zoo: Zoo, quick: None, cache_folder: Path
) -> None:
    with TrapServer() as trap:
        target = address.format(port=trap.port)
        form = f'<form id="download-form" action="{target}"><input type="hidden" name="a" value="b"></form>'
        drive.hostile = lambda to: to.reply(302, location=target) if way == "redirect" else to.reply(200, page=form)
        with pytest.raises(DownloadError) as caught:
            download(spec, zoo)
    assert not trap.connected
    assert "--from FILE" in caught.value.suggestion
    assert nothing_kept(cache_folder)


class TrapServer:
    """Listens on this machine, and knows whether anybody came."""

    def __enter__(self) -> TrapServer:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.port = self._socket.getsockname()[1]
        self.connected = False
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._socket.accept()
            self.connected = True
        except TimeoutError:
            pass
        self._socket.close()


def test_a_file_that_asks_to_sign_in_is_not_public(drive: Drive, spec: ModelSpec, zoo: Zoo, quick: None) -> None:
    drive.hostile = lambda to: to.reply(302, location="https://accounts.google.com/ServiceLogin?continue=x")
    with pytest.raises(DownloadError, match="no longer public"):
        download(spec, zoo)


# -- floods and trickles


def endless_page(to: Answering) -> None:
    to.head(200, {"Content-Type": "text/html"})
    while True:
        to.wfile.write(b"<p>" * 20_000)


def bomb_page(to: Answering) -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=1)
    to.head(200, {"Content-Type": "text/html", "Content-Encoding": "gzip", "Content-Length": str(len(bomb))})
    to.wfile.write(bomb)


def bomb_file(to: Answering) -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=1)
    to.head(200, FILE_HEAD | {"Content-Encoding": "gzip", "Content-Length": str(len(bomb))})
    to.wfile.write(bomb)


def bomb_in_redirect(to: Answering) -> None:
    to.head(302, {"Location": "https://drive.google.com/uc?id=again"})
    while True:
        to.wfile.write(b"x" * 60_000)


def confirm_again(to: Answering) -> None:
    to.reply(200, page=CONFIRM_PAGE.format(id="x"))


def redirect_again(to: Answering) -> None:
    to.reply(302, location="/uc?id=again")


def trickle(to: Answering) -> None:
    to.head(200, FILE_HEAD | {"Content-Length": "1000000"})
    for _ in range(100):
        to.wfile.write(b"x")
        time.sleep(0.1)


def trickle_in_chunks(to: Answering) -> None:
    to.head(200, FILE_HEAD | {"Transfer-Encoding": "chunked"})
    for _ in range(100):
        to.wfile.write(b"1\r\nx\r\n")
        time.sleep(0.1)


def grains_of_a_page(to: Answering) -> None:
    """As fast as can be, a byte in each chunk."""
    to.head(200, {"Content-Type": "text/html", "Transfer-Encoding": "chunked"})
    while True:
        to.wfile.write(b"1\r\nx\r\n" * 1000)


def trickle_page(to: Answering) -> None:
    to.head(200, {"Content-Type": "text/html"})
    for _ in range(100):
        to.wfile.write(b"x")
        time.sleep(0.1)


def trickle_head(to: Answering) -> None:
    to.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(100):
        to.wfile.write(b"x")
        time.sleep(0.1)


def too_large(to: Answering) -> None:
    to.head(200, FILE_HEAD | {"Content-Length": str(2**40)})


def without_length(to: Answering) -> None:
    to.head(200, FILE_HEAD)
    while True:
        to.wfile.write(b"x" * 60_000)


FLOODS = [endless_page, bomb_page, bomb_file, bomb_in_redirect, confirm_again, redirect_again, trickle]
FLOODS += [grains_of_a_page, trickle_in_chunks, trickle_page, trickle_head, too_large, without_length]


@pytest.mark.parametrize("answer", FLOODS)
@pytest.mark.slow
def test_defect_20_no_answer_holds_us_or_fills_memory_or_disk(
    answer: Callable[[Answering], None],
    drive: Drive,
    spec: ModelSpec,
    zoo: Zoo,
    quick: None,
    cache_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("semask_cli.checkpoints.download.MAX_BYTES", 20_000_000)
    drive.hostile = answer
    highest = Watermark()
    began = time.monotonic()
    with highest, pytest.raises(DownloadError) as caught:
        download(spec, zoo)
    assert time.monotonic() - began < 10
    assert highest.grown < 300_000_000
    assert "--from FILE" in caught.value.suggestion
    assert nothing_kept(cache_folder)


class Watermark:
    """By how many bytes this process grew, looked at every few milliseconds."""

    grown = 0

    def __enter__(self) -> None:
        self._ended = threading.Event()
        self._before = self._size()
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self.grown = max(self.grown, self._size() - self._before)

    @staticmethod
    def _size() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


Usage = namedtuple("Usage", "total used free")


def test_defect_20_a_disk_without_room_is_not_filled(
    drive: Drive, spec: ModelSpec, zoo: Zoo, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10_000_000, 7_000_000, 3_000_000))
    with pytest.raises(OutputError, match=r"not enough space for small@first\.pth .*5 MB are missing, 3 MB are free"):
        download(spec, zoo)
    assert part(cache_folder) == b""


def test_defect_20_a_disk_that_fills_meanwhile(
    drive: Drive, spec: ModelSpec, zoo: Zoo, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(_: object) -> Usage:
        return Usage(100_000_000, 0, 50_000_000 if not part(cache_folder) else 1_000_000)

    monkeypatch.setattr(transfer, "_ROOM_INTERVAL", 100_000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", usage)
        with pytest.raises(OutputError, match="not enough space"):
            download(spec, zoo)
    kept = part(cache_folder)
    assert 0 < len(kept) < 1_000_000
    download(spec, zoo)  # there is room again
    assert drive.transfers[-1] == f"bytes={len(kept)}-"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_defect_20_a_small_disk_does_not_stay_full(drive: Drive, spec: ModelSpec, zoo: Zoo, cache_folder: Path) -> None:
    cache_folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", cache_folder], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        drive.hostile = without_length
        with pytest.raises(OutputError, match="not enough space") as caught:
            download(spec, zoo)
        assert caught.value.exit_code == 4
        assert shutil.disk_usage(cache_folder).used < 100_000
        drive.hostile = None
        download(spec, zoo)
    finally:
        subprocess.run(["umount", cache_folder], check=True)


# -- nonsense


@pytest.mark.parametrize("last_modified", ["nonsense", "Fri, 31 Dec 99999 10:00:00 GMT", "", "\xff\xfe"])
def test_defect_32_nonsense_in_headers_is_harmless(
    last_modified: str, drive: Drive, file: Path, spec: ModelSpec, zoo: Zoo
) -> None:
    drive.headers = {"Last-Modified": last_modified, "Content-Type": ""}
    drive.cut_at = file.stat().st_size // 2
    download(spec, zoo)
    assert store.read_sidecar(spec).source_sha256 == store.sha256(file)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\n",
        b"HTTP/1.1 999 ?\r\n\r\n",
        b"HTTP/1.1 302 Found\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://[::\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\r\n\r\n",
        b"nothing like HTTP\r\n\r\n",
        b"",
        b'HTTP/1.1 200 OK\r\n\r\n<form id="download-form"></form>',
        b'HTTP/1.1 200 OK\r\n\r\n<form id="download-form" action="https://[::"></form>',
        b'HTTP/1.1 200 OK\r\n\r\n<form id="download-form" action="/x"><input type="hidden"></form>',
        b'HTTP/1.1 200 OK\r\n\r\n<a href="/uc?export=download&amp;\xff">',
        b'HTTP/1.1 200 OK\r\n\r\n"downloadUrl":"' + b"x" * 5000 + b'"',
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: \x00=\xff; domain=.com\r\n\r\n",
    ],
)
def test_defect_32_whatever_drive_answers_is_a_download_error(
    answer: bytes, drive: Drive, spec: ModelSpec, zoo: Zoo, quick: None, cache_folder: Path
) -> None:
    drive.hostile = lambda to: to.wfile.write(answer)
    with pytest.raises(DownloadError) as caught:
        download(spec, zoo)
    assert "--from FILE" in caught.value.suggestion
    assert len(caught.value.message) < 400
    assert nothing_kept(cache_folder)


FRAGMENTS = [
    *(
        '<form id="download-form"',
        ' action="',
        "https://drive.google.com/x",
        "https://[::",
        '">',
        "</form>",
        "\n",
        "&amp;",
    ),
    *('<input type="hidden" name="', '" value="', '<input type="hidden">', 'href="/uc?export=download', '"', "\\u003d"),
    *('"downloadUrl":"', '<p class="uc-error-subcaption">', "</p>", "<", ">", "\x00", "]]>", "<!--", "<![CDATA[", "&#"),
]


@pytest.mark.filterwarnings("error", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5)).map("".join))
def test_defect_32_any_page_leads_somewhere_or_is_refused(page: str) -> None:
    with contextlib.suppress(client.NotHandedOutError, RefusedError):
        assert isinstance(client._confirmed(page), str)


@given(st.sampled_from(["", "/", "//", "https:", "https://", "HTTPS://drive.google.com", "http://"]), st.text())
def test_defect_14_any_redirect_stays_with_drive_or_is_refused(start: str, rest: str) -> None:
    try:
        address = client._redirected("https://drive.google.com/uc", start + rest)
    except (client.NotHandedOutError, RefusedError):
        return
    if https.host_of(address) and https.DRIVE.fullmatch(address):
        parsed = urllib3.util.parse_url(address)  # as the connection reads it
        assert parsed.scheme == "https"
        assert parsed.host == https.host_of(address)
        assert parsed.auth is None
        assert parsed.port in (None, 443)


# -- others at work


@pytest.mark.slow
def test_defect_22_two_caches_and_one_folder(
    drive: Drive, file: Path, zoo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = []
    for cache in ("one", "two"):
        monkeypatch.setenv("SEMASK_CACHE", str(tmp_path / cache))
        running.append(start("download", "small", "--zoo", zoo_file, "--to", tmp_path / "shared"))
    assert [process.wait() for process in running] == [0, 0]
    saved = tmp_path / "shared/small@first.pth"
    assert {path.name for path in saved.parent.iterdir()} == {saved.name, "SHA256SUMS"}
    assert saved.read_bytes() == file.read_bytes()
