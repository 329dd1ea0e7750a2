"""Files come from mirrors before Google Drive, held against the digest that is listed for them."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
import trustme

from semask_cli.checkpoints import download as download_module
from semask_cli.checkpoints import mirrors, transfer
from semask_cli.checkpoints.download import download, save_published
from semask_cli.errors import DownloadError, OfflineError, ZooError
from semask_cli.zoo import ModelSpec, Zoo, load_zoo
from tests.support.drive_server import Drive

NAME = "small@first.pth"


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> None:
    mirrors._index.cache_clear()
    monkeypatch.setenv("SEMASK_CACHE", str(cache_folder))


@pytest.fixture
def mirror(file: Path, tmp_path: Path) -> Path:
    """A folder with the file of `small` and its index."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    shutil.copy(file, folder / NAME)
    mirrors.add_to_index(folder / NAME, hashlib.sha256(file.read_bytes()).hexdigest())
    return folder


class _Moving(SimpleHTTPRequestHandler):
    """/moved/ leads to the files."""

    def do_GET(self) -> None:
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a web server over TLS that serves `mirror`, by the handler of the parameter if there is one."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("localhost", 0), partial(getattr(request, "param", _Moving), directory=str(mirror)))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.delenv("SEMASK_OFFLINE")
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("form", ["{}", "file://{}", "/nowhere {}"])
def test_a_folder_is_a_mirror_also_offline(
    spec: ModelSpec, zoo: Zoo, mirror: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("SEMASK_MIRROR", form.format(mirror))
    assert download(spec, zoo).is_file()
    assert (mirror / NAME).is_file()


@pytest.mark.parametrize("start", ["", "/moved"])
def test_a_web_server_is_a_mirror(
    spec: ModelSpec, zoo: Zoo, web: str, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setenv("SEMASK_MIRROR", f"{web}{start}/")
    received: list[int] = []
    assert download(spec, zoo, progress=lambda so_far, _: received.append(so_far)).is_file()
    assert received == sorted(received)
    assert received[-1] > 4_000_000


class _BreaksOff(_Moving):
    """Gives half of each checkpoint, but to those who ask for the rest, and to nobody while `ends`."""

    ends = True

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if begin else 200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        cut = self.ends and self.path.endswith(".pth")
        self.wfile.write(content[begin : len(content) // 2] if cut else content[begin:])


@pytest.mark.parametrize("web", [_BreaksOff], indirect=True)
def test_a_mirror_that_breaks_off_is_gone_on_with(
    spec: ModelSpec, zoo: Zoo, web: str, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_RETRIES", 0)
    monkeypatch.setattr(download_module, "_drive_id", _no_drive)
    monkeypatch.setenv("SEMASK_MIRROR", web)
    monkeypatch.setattr(_BreaksOff, "ends", True)
    with pytest.raises(DownloadError):
        download(spec, zoo)
    [arrived] = (cache_folder / "downloads").glob(".semask-*/*.part")
    half = arrived.stat().st_size
    monkeypatch.setattr(_BreaksOff, "ends", False)
    received: list[int] = []
    assert download(spec, zoo, progress=lambda so_far, _: received.append(so_far)).is_file()
    assert 0 < half < received[0]
    assert not list((cache_folder / "downloads").glob(".semask-*"))


@pytest.mark.parametrize("web", [_BreaksOff], indirect=True)
def test_what_a_mirror_gave_goes_once_another_place_gives_all(
    spec: ModelSpec, zoo: Zoo, web: str, mirror: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_RETRIES", 0)
    monkeypatch.setattr(_BreaksOff, "ends", True)
    monkeypatch.setenv("SEMASK_MIRROR", f"{web} {mirror}")
    assert download(spec, zoo).is_file()
    assert not list((cache_folder / "downloads").glob(".semask-*"))


def _no_drive(spec: ModelSpec) -> str:
    raise DownloadError("no address gave it")


def test_a_model_repository_is_a_web_server() -> None:
    address = mirrors._web_address("hf://owner/name/folder/small@first.pth")
    assert address == "https://huggingface.co/owner/name/resolve/main/folder/small@first.pth"


def test_any_store_of_fsspec_is_a_mirror(
    spec: ModelSpec, zoo: Zoo, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEMASK_OFFLINE")
    store = fsspec.filesystem("memory")
    store.put(str(mirror), "/models", recursive=True)
    monkeypatch.setenv("SEMASK_MIRROR", "memory://models")
    assert download(spec, zoo).is_file()
    store.rm("/models", recursive=True)


def test_a_zoo_file_names_addresses_with_a_digest(
    zoo_file: Path, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256((mirror / NAME).read_bytes()).hexdigest()
    urls = f'urls = ["file:///nowhere/{NAME}", "file://{mirror}/{NAME}"]'
    text = zoo_file.read_text().replace('drive_id = "small-drive-id"\nsha256 = ""', f'{urls}\nsha256 = "{digest}"')
    zoo_file.write_text(text)
    other = tmp_path / "other.toml"
    other.write_text(text)
    zoo = load_zoo(other)
    assert download(zoo.find("small"), zoo).is_file()
    without = tmp_path / "without.toml"
    without.write_text(text.replace(digest, ""))
    with pytest.raises(ZooError, match="urls need the sha256"):
        load_zoo(without)


def test_a_mirror_with_another_file_is_passed_over(
    spec: ModelSpec,
    zoo: Zoo,
    mirror: Path,
    drive: Drive,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with (mirror / NAME).open("r+b") as file:
        file.write(b"other")
    monkeypatch.setenv("SEMASK_MIRROR", str(mirror))
    assert download(spec, zoo).is_file()
    assert f"cannot download {NAME} from {mirror}/{NAME}: it sent a file whose SHA-256 is" in capsys.readouterr().err
    assert len(drive.transfers) == 1


def test_where_no_mirror_has_it_drive_is_asked(
    spec: ModelSpec, zoo: Zoo, drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMASK_MIRROR", f"{tmp_path}/none s3://nobody/nothing https://localhost:9")
    assert download(spec, zoo).is_file()
    assert len(drive.transfers) == 1


def test_offline_no_web_server_is_asked(spec: ModelSpec, zoo: Zoo, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMASK_OFFLINE", "1")
    monkeypatch.setenv("SEMASK_MIRROR", web)
    with pytest.raises(OfflineError):
        download(spec, zoo)


def test_addresses_that_all_fail_are_an_error(zoo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEMASK_OFFLINE")
    text = zoo_file.read_text().replace(
        'drive_id = "small-drive-id"\nsha256 = ""', f'urls = ["file:///nowhere/{NAME}"]\nsha256 = "{"0" * 64}"'
    )
    (tmp_path / "other.toml").write_text(text)
    zoo = load_zoo(tmp_path / "other.toml")
    with pytest.raises(DownloadError, match="no URL of small@first provided its file"):
        download(zoo.find("small"), zoo)


class _Busy(_Moving):
    """Has too many requests, the first time that it is asked for a checkpoint."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += self.path.endswith(".pth")
        if self.asked == 1:
            self.send_error(429)
        else:
            super().do_GET()


@pytest.mark.parametrize("web", [_Busy], indirect=True)
def test_a_busy_mirror_is_asked_again(spec: ModelSpec, zoo: Zoo, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.time, "sleep", lambda _: None)
    monkeypatch.setattr(download_module, "_drive_id", _no_drive)
    monkeypatch.setattr(_Busy, "asked", 0)
    monkeypatch.setenv("SEMASK_MIRROR", web)
    assert download(spec, zoo).is_file()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("{}/nowhere", "No such file"),
        ("{}/web", "can't decode"),
        ("nothing://x", "not known"),
        ("{}/file", "directory"),
    ],
)
def test_a_mirror_that_is_not_used_is_named(
    spec: ModelSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    address: str,
    reason: str,
) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / mirrors.INDEX).write_bytes(b"\xff")
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEMASK_MIRROR", named := address.format(tmp_path))
    assert not list(mirrors.places(spec))
    assert not list(mirrors.places(spec))
    [said] = caplog.messages
    assert said.startswith(f"the mirror {named} is not used")
    assert reason in said


def test_a_folder_of_saved_files_is_a_mirror(
    spec: ModelSpec, zoo: Zoo, drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = save_published(spec, zoo, tmp_path / "saved")
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=saved.parent, capture_output=True, text=True)
    assert checked.stdout == f"{NAME}: OK\n"
    index = saved.parent / "SHA256SUMS"
    before = index.read_bytes()
    others = b"# of ours, caf\xe9\n" + b"0" * 64 + b"  other.pth\n"
    index.write_bytes(before + others)
    save_published(spec, zoo, tmp_path / "saved")  # again: verified, and listed once
    assert index.read_bytes() == others + before
    index.write_bytes(before)
    monkeypatch.setenv("SEMASK_OFFLINE", "1")
    monkeypatch.setenv("SEMASK_MIRROR", str(saved.parent))
    assert download(spec, zoo).is_file()


def test_an_installed_program_needs_no_fsspec(tmp_path: Path, mirror: Path) -> None:
    code = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from semask_cli.checkpoints import mirrors\n"
        f"assert mirrors._index({str(mirror)!r})\n"
        "try: mirrors._text('s3://a/b')\n"
        "except mirrors.RefusedError as error: print(error)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "semask[remote]" in printed
