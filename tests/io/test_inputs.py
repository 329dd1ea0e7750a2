"""Files, folders, glob patterns and stdin, as a person names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from semask_cli.errors import ImageError
from semask_cli.io.inputs import Input, find_inputs


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for name in ("top.jpg", "x/one.png", "x/y/two.JPG", "x/notes.txt", "[a].png"):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "album"


def stems(inputs: list[Input]) -> list[str]:
    return [entry.stem.as_posix() for entry in inputs]


def test_a_folder_gives_its_images_with_their_sub_folders(album: Path) -> None:
    assert stems(find_inputs([str(album)])) == ["[a]", "top", "x/one", "x/y/two"]


def test_a_pattern_keeps_the_folders_below_its_fixed_part(album: Path) -> None:
    assert stems(find_inputs([f"{album}/**/*.[pJ]*"])) == ["[a]", "x/one", "x/y/two"]


def test_a_name_that_exists_is_that_file_brackets_or_not(album: Path) -> None:
    [entry] = find_inputs([f"{album}/[a].png"])
    assert (entry.path, entry.stem) == (album / "[a].png", Path("[a]"))


def test_stdin_has_a_name_and_nothing_is_read_twice(album: Path) -> None:
    inputs = find_inputs(["-", f"{album}/top.jpg", f"{album}/top.jpg"])
    assert [entry.name for entry in inputs] == ["stdin", f"{album}/top.jpg"]


@pytest.mark.parametrize(("name", "said"), [("x/*.gif", "no image matches"), ("empty", "no image in")])
def test_where_no_image_is_the_name_is_said(album: Path, name: str, said: str) -> None:
    (album / "empty").mkdir()
    with pytest.raises(ImageError, match=said) as refused:
        find_inputs([f"{album}/{name}"])
    assert name in refused.value.message
