"""Searching folders: links, circles, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

from semask_cli.io.folders import search
from tests.support.permissions import folder_of_a_user


def plant(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder: Path) -> list[str]:
    contents = search(folder)
    assert not contents.unreadable
    return [path.relative_to(folder).as_posix() for path in contents.files]


def test_linked_folders_are_searched_and_circles_end(tmp_path: Path) -> None:
    plant(tmp_path, "set/1.png", "set/city/2.png", "elsewhere/deep/3.png")
    (tmp_path / "set/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/city/up").symlink_to("..")
    (tmp_path / "elsewhere/deep/back").symlink_to(tmp_path / "set")
    assert found(tmp_path / "set") == ["1.png", "city/2.png", "linked/deep/3.png"]


def test_a_folder_linked_to_from_beside_it_is_searched_at_its_own_place(tmp_path: Path) -> None:
    plant(tmp_path, "zebra/1.png")
    (tmp_path / "alias").symlink_to("zebra")
    (tmp_path / "other").symlink_to("zebra")
    assert found(tmp_path) == ["zebra/1.png"]


def test_links_to_nothing_and_to_themselves_are_files_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "nothing.png").symlink_to("nowhere")
    assert found(tmp_path) == ["loop.png", "nothing.png"]


def test_where_no_folder_is_nothing_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "file")
    assert found(tmp_path / "nowhere") == found(tmp_path / "file/below") == []


def test_folders_that_cannot_be_read_are_named_with_the_reason(tmp_path: Path) -> None:
    with folder_of_a_user() as folder:
        plant(folder, "open/1.png", "closed/2.png", "listed/3.png")
        (folder / "closed").chmod(0)
        (folder / "listed").chmod(0o400)
        contents = search(folder)
        assert contents.unreadable == {folder / "closed": "Permission denied"}
        assert contents.files == (folder / "listed/3.png", folder / "open/1.png")
    too_long = tmp_path / ("x" * 300)
    assert search(too_long).unreadable == {too_long: "File name too long"}
