"""Files appear whole or not at all; what is not whole lies where nobody else can reach it, and goes."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from semask_cli.errors import OutputError
from semask_cli.io import files
from semask_cli.io.files import claim, new_private_folder, private_folders, whole_file, write_atomically


def test_what_is_not_whole_lies_in_a_private_folder(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        with whole_file(tmp_path / "result") as unfinished:
            unfinished.write_text("new")
            assert not (tmp_path / "result").exists() or names
            assert stat.S_IMODE(unfinished.parent.stat().st_mode) == 0o700
            names.add(unfinished.parent.name)
    assert len(names) == 2
    assert os.listdir(tmp_path) == ["result"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "result").write_text("old")
    with pytest.raises(OutputError), whole_file(tmp_path / "result") as unfinished:
        unfinished.with_name("another").rename(unfinished)
    assert (tmp_path / "result").read_text() == "old"
    assert os.listdir(tmp_path) == ["result"]


def test_nothing_is_left_where_no_descriptor_is_to_be_had(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def without_descriptors() -> None:
        with whole_file(tmp_path / "result") as unfinished:
            unfinished.write_text("new")
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
            unfinished.open()

    with pytest.raises(OutputError, match="Too many open files"):
        without_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert os.listdir(tmp_path) == []


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    (tmp_path / "result").symlink_to(tmp_path / "precious")
    write_atomically(tmp_path / "result", b"new")
    assert (tmp_path / "precious").read_text() == "keep me"
    assert (tmp_path / "result").read_bytes() == b"new"


def test_the_umask_counts(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "result", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "result").stat().st_mode) == 0o640


def test_a_name_of_255_bytes(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("n" * 255), b"new")
    with pytest.raises(OutputError, match="File name too long"):
        write_atomically(tmp_path / ("n" * 256), b"new")
    assert os.listdir(tmp_path) == ["n" * 255]


def killed_while_writing(folder: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from semask_cli.io.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as unfinished:\n"
        "    unfinished.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(folder / "result")], check=False)
    assert killed.returncode == -signal.SIGKILL


def test_defect_21_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    killed_while_writing(tmp_path)
    assert len(os.listdir(tmp_path)) == 1
    write_atomically(tmp_path / "result", b"new")
    assert os.listdir(tmp_path) == ["result"]


def test_what_is_in_use_or_no_folder_of_ours_stays(tmp_path: Path) -> None:
    files._remove_abandoned_once.cache_clear()
    (tmp_path / ".semask-file.part").write_text("a file")
    (tmp_path / ".semask-link.part").symlink_to(tmp_path)
    (tmp_path / "folder.part").mkdir()
    with whole_file(tmp_path / "other") as unfinished:
        write_atomically(tmp_path / "result", b"new")
        assert unfinished.parent.is_dir()
        assert claim(unfinished.parent) is None
        unfinished.touch()
    remaining = [".semask-file.part", ".semask-link.part", "folder.part", "other", "result"]
    assert sorted(os.listdir(tmp_path)) == remaining


def test_an_abandoned_folder_can_be_claimed_once(tmp_path: Path) -> None:
    folder, lock = new_private_folder(tmp_path)
    assert claim(folder) is None
    os.close(lock)
    assert private_folders(tmp_path) == [folder]
    first = claim(folder)
    assert first is not None
    assert claim(folder) is None
    os.close(first)


def test_a_folder_that_another_process_took_for_abandoned_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, taken = files.tempfile.mkdtemp, []

    def make_and_lose(**options: object) -> str:
        folder = make(**options)  # type: ignore[call-overload]
        if not taken:
            taken.append(folder)
            os.rmdir(folder)
        return folder

    monkeypatch.setattr(files.tempfile, "mkdtemp", make_and_lose)
    with whole_file(tmp_path / "result") as unfinished:
        assert str(unfinished.parent) not in taken
        unfinished.touch()
    assert os.listdir(tmp_path) == ["result"]


def test_writing_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*a\.png"):
        write_atomically(tmp_path / "a.png", b"new")
    assert os.listdir(tmp_path) == ["a.png"]


def test_file_where_a_folder_must_be(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path / "out" / "a.png", b"new")
