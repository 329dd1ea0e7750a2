"""The real client against a server that plays Google Drive: kills, cuts, quotas, wrong files, two at once."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from semask_cli.checkpoints import store
from semask_cli.checkpoints.download import adopt, download, save_published
from semask_cli.errors import (
    DamagedCheckpointError,
    DigestError,
    DownloadError,
    NotACheckpointError,
    OfflineError,
    OutputError,
    TensorShapeError,
)
from semask_cli.zoo import ModelSpec, Zoo, load_zoo
from tests.support.command_line import Run, start
from tests.support.drive_server import Drive
from tests.support.published import mmseg_file, weights, write_zoo

PAIR = {"small@first.safetensors", "small@first.json"}


def cached_files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_a_download_is_converted_and_kept_once(
    drive: Drive, file: Path, spec: ModelSpec, zoo: Zoo, cache_folder: Path
) -> None:
    heard: list[tuple[int, int | None]] = []
    path = download(spec, zoo, progress=lambda *received: heard.append(received))
    assert path == store.on_disk(spec)
    assert heard[-1] == (file.stat().st_size, file.stat().st_size)
    assert cached_files(cache_folder) == PAIR
    assert download(spec, zoo) == path
    assert drive.transfers == [None]


def test_a_file_that_is_there_needs_no_lock(
    file: Path, spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a shared cache that is read-only."""
    adopted = adopt(file, spec, zoo)
    monkeypatch.setattr(store, "lock_path", lambda name: Path("/dev/null/lock"))
    assert download(spec, zoo) == adopted
    adopted.touch()
    with pytest.raises(OutputError):
        download(spec, zoo)


def test_a_connection_cut_half_way_goes_on(drive: Drive, file: Path, spec: ModelSpec, zoo: Zoo) -> None:
    drive.cut_at = file.stat().st_size // 2
    download(spec, zoo)
    assert drive.transfers[0] is None
    assert drive.transfers[-1] is not None
    assert store.read_sidecar(spec).source_sha256 == store.sha256(file)


@pytest.mark.slow
def test_a_killed_download_resumes_and_completes(
    drive: Drive, file: Path, zoo_file: Path, spec: ModelSpec, cache_folder: Path
) -> None:
    drive.stall_at = file.stat().st_size // 2
    process = start("download", "small", "--zoo", zoo_file)
    assert drive.stalled.wait(60)
    wait_for(lambda: partial_size(cache_folder) > 0)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    received = partial_size(cache_folder)
    assert store.on_disk(spec) is None

    drive.stall_at = None
    assert start("download", "small", "--zoo", zoo_file).wait() == 0
    assert drive.transfers[-1] == f"bytes={received}-"
    assert cached_files(cache_folder) == PAIR
    assert store.read_sidecar(spec).source_sha256 == store.sha256(file)


def partial_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.part"))


def wait_for(happened: Callable[[], bool]) -> None:
    for _ in range(600):
        if happened():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within half a minute")


@pytest.mark.slow
def test_two_at_once_download_once(drive: Drive, file: Path, zoo_file: Path, cache_folder: Path) -> None:
    running = [start("download", "small", "--zoo", zoo_file, "--json") for _ in range(2)]
    documents = [json.loads(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert documents[0] == documents[1]
    assert Path(documents[0]["checkpoints"][0]["path"]).parent == cache_folder / "checkpoints"
    assert drive.transfers == [None]


def test_the_wrong_digest_leaves_nothing(drive: Drive, tmp_path: Path, cache_folder: Path) -> None:
    zoo = load_zoo(write_zoo(tmp_path / "listed.toml", sha256="0" * 64))
    with pytest.raises(DigestError, match="0" * 64):
        download(zoo.find("small"), zoo)
    assert cached_files(cache_folder) == set()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (lambda file, _: b"<!DOCTYPE html><html>Sign in", NotACheckpointError),
        (lambda file, _: file.read_bytes()[:-1000], DamagedCheckpointError),
        (lambda file, zoo: mmseg_file(file, weights(zoo.find("other"))).read_bytes(), TensorShapeError),
    ],
)
def test_a_wrong_file_leaves_nothing_and_is_not_trusted(
    content: Callable[[Path, Zoo], bytes],
    error: type[Exception],
    drive: Drive,
    file: Path,
    spec: ModelSpec,
    zoo: Zoo,
    cache_folder: Path,
) -> None:
    right = file.read_bytes()
    drive.files["small-drive-id"] = content(file, zoo)
    with pytest.raises(error) as caught:
        download(spec, zoo)
    assert f"the download of {store.full_name(spec)} " in caught.value.message
    assert str(cache_folder) not in caught.value.message + caught.value.suggestion
    assert cached_files(cache_folder) == set()
    drive.files["small-drive-id"] = right
    assert download(spec, zoo) == store.on_disk(spec)


def test_a_quota_explains_the_manual_way(drive: Drive, spec: ModelSpec, zoo: Zoo) -> None:
    drive.over_quota = True
    with pytest.raises(DownloadError, match="quota") as caught:
        download(spec, zoo)
    assert "https://drive.google.com/file/d/small-drive-id/view" in caught.value.suggestion
    assert "semask download small@first --from FILE" in caught.value.suggestion


def test_no_server_and_no_network(
    spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    monkeypatch.setattr("semask_cli.checkpoints.transfer._RETRIES", 0)
    monkeypatch.delenv("SEMASK_OFFLINE")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens
    with pytest.raises(DownloadError, match="the connection failed"):
        download(spec, zoo)
    monkeypatch.setenv("SEMASK_OFFLINE", "1")
    with pytest.raises(OfflineError):
        download(spec, zoo)
    assert cached_files(cache_folder) == set()


def test_a_file_from_elsewhere_is_adopted_offline(file: Path, spec: ModelSpec, zoo: Zoo, cache_folder: Path) -> None:
    assert adopt(file, spec, zoo) == store.on_disk(spec) == download(spec, zoo)
    assert file.exists()
    assert cached_files(cache_folder) == PAIR


def test_the_published_file_itself(
    drive: Drive, file: Path, spec: ModelSpec, zoo: Zoo, tmp_path: Path, cache_folder: Path
) -> None:
    folder = tmp_path / "for another machine"
    saved = save_published(spec, zoo, folder)
    assert saved == folder / "small@first.pth"
    assert saved.read_bytes() == file.read_bytes()
    assert cached_files(cache_folder) == set()
    assert save_published(spec, zoo, folder) == saved
    assert len(drive.transfers) == 1
    drive.files["other-drive-id"] = drive.files["small-drive-id"]
    with pytest.raises(TensorShapeError) as caught:
        save_published(zoo.find("other"), zoo, folder)
    assert caught.value.suggestion == "The file fits small."
    assert cached_files(folder) == {"small@first.pth", "SHA256SUMS"}


def test_an_unwritable_cache_is_an_output_error(
    drive: Drive, zoo_file: Path, tmp_path: Path, semask: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("SEMASK_CACHE", str(tmp_path / "a file" / "cache"))
    assert "cannot write" in semask("download", "small", "--zoo", zoo_file, check=4).stderr


@pytest.mark.slow
def test_the_command_tells_what_it_did(drive: Drive, zoo_file: Path, cache_folder: Path, semask: Run) -> None:
    first = semask("download", "small", "--zoo", zoo_file)
    assert first.stdout == f"small@first  {cache_folder}/checkpoints/small@first.safetensors\n"
    assert first.stderr == "fetching small@first (4.5 MB)\n"
    again = semask("download", "small", "--zoo", zoo_file)
    assert (again.stdout, again.stderr) == (first.stdout, "")


@pytest.mark.slow
def test_one_failure_of_several_is_told_and_the_rest_arrives(
    drive: Drive, zoo_file: Path, spec: ModelSpec, semask: Run
) -> None:
    result = semask("download", "other", "small", "--zoo", zoo_file, "--json", check=20)  # other is not on Drive
    other, small = json.loads(result.stdout)["checkpoints"]
    assert "refuses the file" in other["error"]
    assert small == {"name": "small@first", "path": str(store.on_disk(spec))}
    assert "error: " in result.stderr


@pytest.mark.parametrize(
    "arguments", [(), ("small", "--all"), ("small", "other", "--from", "x"), ("small", "--from", "x", "--to", "y")]
)
def test_arguments_that_do_not_go_together(arguments: tuple[str, ...], zoo_file: Path, semask: Run) -> None:
    assert "Traceback" not in semask("download", *arguments, "--zoo", zoo_file, check=2).stderr
