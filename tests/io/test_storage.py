"""Files in stores: what is written is there whole, what fails is tried again a few times, and said in words."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from semask_cli.errors import ImageError, OutputError, UsageError
from semask_cli.io import storage
from semask_cli.io.images import read_image
from semask_cli.io.inputs import find_inputs
from semask_cli.io.manifest import read_manifest
from semask_cli.io.storage import Address, files_in, image_source, place, read, state, write
from tests.support import filled

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Address:
    """An empty store in memory, whose requests fail at once rather than after waits."""
    monkeypatch.setattr(storage, "FIRST_WAIT", 0)
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    return Address("memory://bucket")


def test_what_has_a_protocol_is_an_address() -> None:
    assert place("s3://bucket/a") / "x/b.png" == Address("s3://bucket/a/x/b.png")
    assert place("folder/a") == Path("folder/a")
    assert Address("s3://bucket/a/b.png").with_name("c.png") == Address("s3://bucket/a/c.png")


def test_files_come_back_and_have_a_state(bucket: Address) -> None:
    write(bucket / "a/one.txt", b"one")
    assert read(bucket / "a/one.txt") == b"one"
    before = state(bucket / "a/one.txt")
    write(bucket / "a/one.txt", b"other")
    assert before != state(bucket / "a/one.txt") is not None
    assert state(bucket / "gone") is None
    assert files_in(bucket / "a", ".txt") == [bucket / "a/one.txt"]
    assert files_in(bucket / "nowhere", ".txt") == []


def test_images_are_found_as_in_folders(bucket: Address, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(filled.image(4, 5, 1)).save(tmp_path / "one.png")
    content = (tmp_path / "one.png").read_bytes()
    for name in ("top.png", "x/one.JPG", "x/y/two.png", "x/notes.txt", "out/mask.png"):
        write(bucket / name, content)
    entries = list(find_inputs(["memory://bucket"], output=bucket / "out"))
    assert [entry.id for entry in entries] == ["top", "x/one", "x/y/two"]
    for key in ("//of no folder.png", "x/y//two of none.png"):
        write(Address(f"memory://bucket/{key}"), content)
    found = list(find_inputs(["memory://bucket"], output=bucket / "out"))
    assert [entry.id for entry in found] == ["of no folder", "top", "x/one", "x/y/two of none", "x/y/two"]
    assert all(entry.path and read(entry.path) == content for entry in found)  # type: ignore[arg-type]
    [entry] = find_inputs(["memory://bucket/x/y/two.png"])
    assert (entry.id, entry.name) == ("two", "memory://bucket/x/y/two.png")
    assert entry.path is not None
    assert (read_image(image_source(entry.path)) == filled.image(4, 5, 1)).all()
    with pytest.raises(ImageError, match="there is no image in memory://bucket/empty"):
        list(find_inputs(["memory://bucket/empty"]))


def test_keys_with_steps_do_not_lead_out_of_the_folder_of_results(bucket: Address) -> None:
    for name in ("in/../../../one.png", "in/x/../two.png"):
        write(bucket / name, b"")
    assert sorted(entry.id for entry in find_inputs(["memory://bucket/in"])) == ["one", "x/two"]


@pytest.mark.parametrize("query", ["", "?signature=a/b.c&expires=1"])
def test_an_image_at_a_signed_address_is_one(tmp_path: Path, query: str) -> None:
    url = f"https://host/photos/one.jpg{query}"
    assert [(entry.id, entry.name) for entry in find_inputs([url])] == [("one", url)]
    (tmp_path / "list.txt").write_text(url)
    assert [(entry.id, entry.name) for entry in read_manifest(tmp_path / "list.txt")] == [("host/photos/one", url)]


def test_a_question_mark_in_a_key_is_a_letter(bucket: Address) -> None:
    assert [entry.id for entry in find_inputs([f"{bucket}/is it?.jpg"])] == ["is it?"]


def test_a_web_server_that_sends_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(storage, "MAX_STREAM", 1 << 20)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Endless) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with pytest.raises(ImageError, match=r"one\.png has more than 1 MiB"):
            image_source(Address(f"http://127.0.0.1:{server.server_port}/one.png"))
        server.shutdown()


class _Endless(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):  # once the client has left
            for _ in range(1 << 12):
                self.wfile.write(bytes(1 << 16))

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_damaged_image_is_named_by_its_address(bucket: Address) -> None:
    write(bucket / "one.png", b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match=r"memory://bucket/one\.png"):
        read_image(image_source(bucket / "one.png"))
    with pytest.raises(ImageError, match=r"there is no file memory://bucket/two\.png"):
        image_source(bucket / "two.png")


def test_requests_that_fail_are_tried_again_but_not_for_ever(bucket: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    files = storage._file_system("memory")
    failures = 3
    pipe = files.pipe_file

    def unsteady(path: str, content: bytes, **options: Any) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OSError("503 Slow Down\nRequestId: 1")
        pipe(path, content, **options)

    monkeypatch.setattr(files, "pipe_file", unsteady)
    write(bucket / "one", b"1")
    assert read(bucket / "one") == b"1"
    failures = 4
    with pytest.raises(OutputError, match=r"cannot write memory://bucket/two: 503 Slow Down$"):
        write(bucket / "two", b"2")


def test_what_nobody_knows_is_said() -> None:
    with pytest.raises(UsageError, match="gopher:// is not a protocol that fsspec knows"):
        image_source(Address("gopher://host/one.png"))
