"""The cache: damage is found and mended, what killed runs left goes, names stay inside, waiting is told."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from semask_cli.checkpoints import leftovers, reading, store
from semask_cli.checkpoints.conversion import convert
from semask_cli.checkpoints.download import adopt, download, save_published
from semask_cli.checkpoints.loading import load_network
from semask_cli.errors import CheckpointError, DamagedCheckpointError, NotACheckpointError, OutputError
from semask_cli.io.files import new_private_folder
from semask_cli.zoo import ModelSpec, Zoo
from tests.support.command_line import Run, start
from tests.support.drive_server import Drive
from tests.support.forking import exit_code, forked

CPU = torch.device("cpu")
COMMAND = [sys.executable, "-m", "semask_cli"]


def flip_a_byte(path: Path) -> None:
    """In the last tensor, which keeps the file's form and size."""
    with path.open("rb+") as file:
        file.seek(-5, os.SEEK_END)
        byte = file.read(1)
        file.seek(-5, os.SEEK_END)
        file.write(bytes([byte[0] ^ 0x10]))


def restart_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_boot", lambda: "another boot")


@pytest.fixture
def digests(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each file that is opened from here on, whether it was hashed."""
    seen: list[bool] = []
    read = reading.read

    def counted(path: Path, **options: object) -> reading.Checkpoint:
        seen.append(bool(options.get("verify")))
        return read(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("semask_cli.checkpoints.loading.read", counted)
    return seen


def test_an_unchanged_file_is_hashed_once_in_a_boot(
    file: Path, spec: ModelSpec, zoo: Zoo, digests: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = convert(file, spec, zoo)
    load_network(spec, zoo, device=CPU)
    restart_the_machine(monkeypatch)
    load_network(spec, zoo, device=CPU)
    load_network(spec, zoo, device=CPU)
    os.utime(target)
    load_network(spec, zoo, device=CPU)
    load_network(spec, zoo, device=CPU)
    assert digests == [False, True, False, True, False]


@pytest.mark.parametrize("cause", ["written", "on the disk itself"])
def test_defect_5_a_damaged_converted_file_is_never_loaded(
    cause: str, file: Path, spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = convert(file, spec, zoo)
    before = target.stat()
    flip_a_byte(target)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    if cause == "on the disk itself":  # no time changes
        sidecar = store.read_sidecar(spec)
        with store.locked("small@first"):
            store.record(store.sidecar_path(spec), digest=sidecar.sha256, fingerprint=store.fingerprint(target))
        restart_the_machine(monkeypatch)
    with pytest.raises(DamagedCheckpointError, match=str(target)) as caught:
        load_network(spec, zoo, device=CPU)
    assert "semask download small@first" in caught.value.suggestion
    assert target.exists()  # offline: nothing could replace it
    assert adopt(file, spec, zoo) == target  # the way out
    load_network(spec, zoo, device=CPU)


def test_defect_5_a_damaged_file_is_fetched_again(
    drive: Drive, file: Path, spec: ModelSpec, zoo: Zoo, capsys: pytest.CaptureFixture[str]
) -> None:
    target = download(spec, zoo)
    whole = target.read_bytes()
    flip_a_byte(target)
    digest = load_network(spec, zoo, device=CPU).digest
    assert digest == store.sha256(file)
    assert target.read_bytes() == whole
    assert capsys.readouterr().err.count(" is damaged") == 1


@pytest.mark.slow
def test_defect_5_the_download_command_mends(
    drive: Drive, zoo_file: Path, spec: ModelSpec, zoo: Zoo, semask: Run
) -> None:
    target = download(spec, zoo)
    whole = target.read_bytes()
    flip_a_byte(target)
    told = semask("download", "small", "--zoo", zoo_file).stderr
    assert f"{target} is damaged" in told
    assert target.read_bytes() == whole


def test_a_file_of_the_first_schema_is_trusted_once(file: Path, spec: ModelSpec, zoo: Zoo, digests: list[bool]) -> None:
    target = convert(file, spec, zoo)
    path = store.sidecar_path(spec)
    fields = {key: value for key, value in json.loads(path.read_text()).items() if key not in ("sha256", "verified")}
    path.write_text(json.dumps(fields | {"schema_version": 1}))
    load_network(spec, zoo, device=CPU)
    load_network(spec, zoo, device=CPU)
    assert digests == [True, False]
    assert store.read_sidecar(spec).sha256 == store.sha256(target)
    flip_a_byte(target)
    with pytest.raises(DamagedCheckpointError):
        load_network(spec, zoo, device=CPU)


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "{}", '{"schema_version": 9}', "[" * 100_000, "\x00"])
def test_a_damaged_sidecar_is_no_sidecar(text: str, file: Path, spec: ModelSpec, zoo: Zoo) -> None:
    convert(file, spec, zoo)
    store.sidecar_path(spec).write_text(text)
    assert store.on_disk(spec) is None
    assert adopt(file, spec, zoo) == store.on_disk(spec)


def test_a_sidecar_with_other_types(file: Path, spec: ModelSpec, zoo: Zoo) -> None:
    convert(file, spec, zoo)
    path = store.sidecar_path(spec)
    fields = json.loads(path.read_text())
    for key in ("source_sha256", "sha256", "verified"):
        path.write_text(json.dumps(fields | {key: [1]}))
        assert store.on_disk(spec) is None


@pytest.mark.slow
def test_doctor_verifies_all(drive: Drive, file: Path, zoo_file: Path, spec: ModelSpec, zoo: Zoo, semask: Run) -> None:
    target = download(spec, zoo)
    assert semask("doctor", "--verify").stdout == f"intact      {target}\n"
    before = target.stat()
    flip_a_byte(target)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = semask("doctor", "--verify", "--json", check=13)
    assert json.loads(found.stdout)["files"] == [{"path": str(target), "state": "damaged"}]
    assert "semask download small@first" in found.stderr
    semask("download", "small", "--zoo", zoo_file)
    assert semask("doctor", "--verify").stdout == f"intact      {target}\n"


def test_a_pipe_in_the_cache_is_not_waited_for(file: Path, spec: ModelSpec, zoo: Zoo) -> None:
    target = convert(file, spec, zoo)
    target.unlink()
    os.mkfifo(target)
    assert store.verify_all() == {target: "unreadable"}
    store.sidecar_path(spec).unlink()
    os.mkfifo(store.sidecar_path(spec))
    assert store.read_sidecar(spec) is None


def test_verifying_makes_the_next_load_look_again(file: Path, spec: ModelSpec, zoo: Zoo) -> None:
    target = convert(file, spec, zoo)
    sidecar = store.read_sidecar(spec)
    flip_a_byte(target)
    with store.locked("small@first"):  # as if no time had changed
        store.record(store.sidecar_path(spec), digest=sidecar.sha256, fingerprint=store.fingerprint(target))
    assert store.verify_all() == {target: "damaged"}
    with pytest.raises(DamagedCheckpointError):
        load_network(spec, zoo, device=CPU)


# -- links and permissions


@pytest.mark.parametrize("name", ["small@first.json.tmp", "small@first.safetensors.tmp", "small@first.json"])
def test_defect_11_a_planted_link_is_not_followed(
    name: str, file: Path, spec: ModelSpec, zoo: Zoo, cache_folder: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    (cache_folder / "checkpoints").mkdir(parents=True)
    (cache_folder / "checkpoints" / name).symlink_to(precious)
    adopt(file, spec, zoo)
    assert precious.read_text() == "keep me"


def test_defect_11_a_planted_part_is_not_followed(
    drive: Drive, spec: ModelSpec, zoo: Zoo, cache_folder: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    (cache_folder / "downloads").mkdir(parents=True)
    for name in ("small@first.pth.part", "small@first.pth"):
        (cache_folder / "downloads" / name).symlink_to(precious)
    (cache_folder / "downloads/.semask-planted.download").symlink_to(tmp_path)
    download(spec, zoo)
    assert precious.read_text() == "keep me"


def plant_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


@pytest.mark.parametrize("plant", [Path.mkdir, plant_link])
def test_defect_11_a_lock_that_is_a_link_or_a_folder(
    plant: Callable[[Path], None], drive: Drive, zoo: Zoo, spec: ModelSpec, file: Path, tmp_path: Path
) -> None:
    path = store.lock_path("small@first")
    plant(made(path.parent) / path.name)
    for act in (
        lambda: download(spec, zoo),
        lambda: adopt(file, spec, zoo),
        lambda: save_published(spec, zoo, tmp_path / "folder"),
    ):
        with pytest.raises(OutputError, match=f"cannot write {path}: "):
            act()


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_defect_23_a_cache_without_permission(
    error: OSError, file: Path, spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(OutputError, match=f"cannot write .*: {error.strerror}") as caught:
        adopt(file, spec, zoo)
    assert "SEMASK_CACHE" in caught.value.suggestion


def test_defect_23_a_cache_that_can_only_be_read_is_read(
    file: Path, spec: ModelSpec, zoo: Zoo, digests: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(file, spec, zoo)
    restart_the_machine(monkeypatch)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    load_network(spec, zoo, device=CPU)
    load_network(spec, zoo, device=CPU)
    assert digests == [True, True]  # nothing could be recorded


@pytest.mark.forks
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_defect_23_another_users_cache(cache_folder: Path, tmp_path: Path) -> None:
    made(cache_folder / "downloads")

    def lock_as_another_user() -> None:
        os.setuid(65534)
        with pytest.raises(OutputError, match=r"Permission denied$"), store.locked("small@first"):
            pass

    assert exit_code(forked(lock_as_another_user)) == 0


# -- leftovers


@contextmanager
def killed(*arguments: str | Path, at: Callable[[], bool]) -> Iterator[None]:
    """The command, killed when `at` is true."""
    process = start(*arguments)
    for _ in range(600):
        if at():
            break
        time.sleep(0.02)
    else:
        pytest.fail("it did not come so far")
    process.kill()
    process.wait()
    yield


@pytest.mark.forks
def test_defect_21_the_next_run_removes_what_a_killed_conversion_left(
    file: Path, spec: ModelSpec, zoo: Zoo, cache_folder: Path
) -> None:
    def convert_and_be_killed() -> None:
        folder, _ = new_private_folder(made(cache_folder / "checkpoints"))
        (folder / ".tmpABCDEF").write_bytes(bytes(1000))
        os.kill(os.getpid(), signal.SIGKILL)

    assert exit_code(forked(convert_and_be_killed)) == -signal.SIGKILL
    assert len(list((cache_folder / "checkpoints").iterdir())) == 1
    adopt(file, spec, zoo)
    assert sorted(os.listdir(cache_folder / "checkpoints")) == ["small@first.json", "small@first.safetensors"]


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


EARLIER = ["checkpoints/.tmpABCDEF", "checkpoints/small@first.json.tmp", "downloads/small@first.pth"]
EARLIER += ["downloads/other@first.pth", "downloads/small@first.pthabcd1234.part", "kernels/.0123456789abcdef.part"]


def plant_earlier(cache_folder: Path) -> None:
    for name in EARLIER:
        made((cache_folder / name).parent)
        (cache_folder / name).write_bytes(bytes(1000))


def test_defect_21_the_next_run_removes_what_earlier_versions_left(
    file: Path, spec: ModelSpec, zoo: Zoo, cache_folder: Path
) -> None:
    plant_earlier(cache_folder)
    adopt(file, spec, zoo)
    assert not [name for name in EARLIER if (cache_folder / name).exists()]


def test_defect_21_what_is_in_use_stays(cache_folder: Path) -> None:
    plant_earlier(cache_folder)
    folder, lock = new_private_folder(cache_folder / "checkpoints")
    with FileLock(cache_folder / "downloads/another@first.lock"):
        assert leftovers.remove(transfers=True) == []
    os.close(lock)
    removed = {Path(leftover.path) for leftover in leftovers.remove()}
    assert removed == {folder, *(cache_folder / name for name in EARLIER)}


@pytest.mark.slow
def test_defect_21_doctor_cleans(drive: Drive, file: Path, zoo_file: Path, cache_folder: Path, semask: Run) -> None:
    drive.stall_at = file.stat().st_size // 2

    def received() -> bool:
        return any(part.stat().st_size for part in cache_folder.rglob("*.part"))

    with killed("download", "small", "--zoo", zoo_file, at=received):
        plant_earlier(cache_folder)
    document = json.loads(semask("doctor", "--clean", "--json").stdout)
    assert len(document["removed"]) == len(EARLIER) + 1
    assert document["freed_bytes"] > 1000 * len(EARLIER)
    assert [path.name for path in cache_folder.rglob("*") if path.is_file()] == ["small@first.lock"]
    assert semask("doctor", "--clean").stdout == "0 removed, 0.0 MB freed\n"


# -- waiting and interrupting


@pytest.mark.slow
def test_waiting_for_another_process_is_told_and_can_be_interrupted(
    drive: Drive, zoo_file: Path, cache_folder: Path
) -> None:
    made(cache_folder / "downloads")
    with FileLock(store.lock_path("small@first")):
        os.utime(store.lock_path("small@first"))
        since = time.strftime("%H:%M")
        with subprocess.Popen([*COMMAND, "download", "small", "--zoo", zoo_file], stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            told = process.stderr.readline().decode()
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read().decode()
    assert told.startswith("waiting for another process, which has been downloading small@first since ")
    assert told.split()[-1][:4] == since[:4]
    assert "Traceback" not in rest
    assert process.returncode == 130


@pytest.mark.slow
def test_defect_39_an_interrupted_download_can_be_continued(
    drive: Drive, file: Path, zoo_file: Path, cache_folder: Path, semask: Run
) -> None:
    drive.stall_at = file.stat().st_size // 2
    with subprocess.Popen([*COMMAND, "download", "small", "--zoo", zoo_file], stderr=subprocess.PIPE) as process:
        assert drive.stalled.wait(60)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        told = process.stderr.read().decode()
    assert process.returncode == 130
    assert "Traceback" not in told
    drive.stall_at = None
    semask("download", "small", "--zoo", zoo_file)
    assert drive.transfers[-1].startswith("bytes=")


# -- what is no file


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "missing"])
def test_defect_17_from_takes_files_alone(kind: str, spec: ModelSpec, zoo: Zoo, tmp_path: Path) -> None:
    source = {"device": Path("/dev/zero")}.get(kind, tmp_path / kind)
    if kind == "fifo":
        os.mkfifo(source)
    elif kind == "folder":
        source.mkdir()
    with pytest.raises(CheckpointError, match=f"cannot read the checkpoint {source}: "):
        adopt(source, spec, zoo)


@pytest.mark.slow
def test_defect_17_the_command_refuses_a_pipe_at_once(zoo_file: Path, tmp_path: Path, semask: Run) -> None:
    os.mkfifo(tmp_path / "pipe")
    told = semask("download", "small", "--zoo", zoo_file, "--from", tmp_path / "pipe", check=10, timeout=60).stderr
    assert "it is a pipe or a device, not a file" in told


def test_to_never_replaces_another_file(drive: Drive, spec: ModelSpec, zoo: Zoo, tmp_path: Path) -> None:
    folder = made(tmp_path / "to")
    target = folder / "small@first.pth"
    target.write_text("a file of mine")
    with pytest.raises(NotACheckpointError):
        save_published(spec, zoo, folder)
    assert target.read_text() == "a file of mine"
    target.unlink()
    target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(CheckpointError):
        save_published(spec, zoo, folder)
    assert target.is_symlink()
    assert os.listdir(folder) == ["small@first.pth"]


def test_where_a_checkpoint_lies(spec: ModelSpec, cache_folder: Path) -> None:
    assert store.full_name(spec) == "small@first"
    assert store.converted_path(spec) == cache_folder / "checkpoints/small@first.safetensors"
    assert store.sidecar_path(spec) == cache_folder / "checkpoints/small@first.json"
    assert store.download_path(spec) == cache_folder / "downloads/small@first.pth"


def test_a_row_without_a_file_has_no_name(spec: ModelSpec) -> None:
    with pytest.raises(CheckpointError, match="no file is published for small"):
        store.full_name(dataclasses.replace(spec, checkpoint=None))


def test_digests(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    assert store.sha256(tmp_path / "a") == hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(CheckpointError, match=r"cannot read .*none"):
        store.sha256(tmp_path / "none")
