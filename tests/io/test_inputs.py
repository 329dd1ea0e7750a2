"""Files, folders, glob patterns and stdin, as a person names them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from semask_cli.errors import ImageError
from semask_cli.io.images import read_image
from semask_cli.io.inputs import Input, find_inputs, results_stem
from tests.support.permissions import folder_of_a_user


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for name in ("top.jpg", "x/one.png", "x/y/two.JPG", "x/notes.txt", "[a].png"):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "album"


def stems(inputs: Iterable[Input]) -> list[str]:
    return [entry.stem.as_posix() for entry in inputs]


def test_a_folder_gives_its_images_with_their_sub_folders(album: Path) -> None:
    assert stems(find_inputs([str(album)])) == ["[a]", "top", "x/one", "x/y/two"]


def test_a_pattern_keeps_the_folders_below_its_fixed_part(album: Path) -> None:
    assert stems(find_inputs([f"{album}/**/*.[pJ]*"])) == ["[a]", "x/one", "x/y/two"]


def test_a_name_that_exists_is_that_file_brackets_or_not(album: Path) -> None:
    [entry] = find_inputs([f"{album}/[a].png"])
    assert (entry.path, entry.stem) == (album / "[a].png", Path("[a]"))


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("x/a.b.png", "x/a.b"),
        ("..jpg", "..jpg"),
        ("x/...png", "x/...png"),
        ("../x/../../a.png", "x/a"),
        ("/etc/a.png", "etc/a"),
        ("..", "folder"),
        ("/", "folder"),
    ],
)
def test_no_name_leads_out_of_the_folder_of_results(path: str, stem: str) -> None:
    assert results_stem(Path(path)) == Path(stem)


def test_a_name_that_is_none_without_its_suffix_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/..jpg").touch()
    assert stems(find_inputs([str(tmp_path)])) == ["x/..jpg"]
    assert stems(find_inputs([str(tmp_path / "x/..jpg")])) == ["..jpg"]


def test_stdin_has_a_name() -> None:
    assert [(entry.name, entry.id) for entry in find_inputs(["-"])] == [("stdin", "stdin")]


def test_what_lies_in_the_folder_of_results_is_no_input(album: Path) -> None:
    for output in (album / "x", Path(os.path.relpath(album / "x"))):
        assert stems(find_inputs([str(album)], output=output)) == ["[a]", "top"]
    assert stems(find_inputs([f"{album}/**/*.[pJj]*"], output=album / "x")) == ["[a]", "top"]
    assert stems(find_inputs([str(album / "x")], output=album / "x")) == ["one", "y/two"]


def test_a_folder_is_searched_as_its_images_are_asked_for(album: Path) -> None:
    inputs = find_inputs([str(album)])
    next(inputs)
    (album / "x/y/three.jpg").touch()
    assert "x/y/three" in stems(inputs)


@pytest.mark.parametrize(("name", "said"), [("x/*.gif", "no image matches"), ("empty", "no image in")])
def test_where_no_image_is_the_name_is_said(album: Path, name: str, said: str) -> None:
    (album / "empty").mkdir()
    with pytest.raises(ImageError, match=said) as refused:
        list(find_inputs([f"{album}/{name}"]))
    assert name in refused.value.message


def test_linked_folders_are_searched_once_each_also_by_pattern(album: Path) -> None:
    (album / "x/back").symlink_to(album)
    (album.parent / "far").mkdir()
    (album.parent / "far/away.png").touch()
    (album / "link").symlink_to(album.parent / "far")
    found = ["[a]", "link/away", "top", "x/one", "x/y/two"]
    assert sorted(stems(find_inputs([str(album)]))) == found
    assert stems(find_inputs([f"{album}/**/*.[pJj]*"])) == found


def test_a_link_to_nothing_is_an_input_that_cannot_be_read(album: Path) -> None:
    (album / "gone.jpg").symlink_to("nowhere.jpg")
    (album / "loop.jpg").symlink_to("loop.jpg")
    for name in (str(album), f"{album}/*.jpg"):
        assert {"gone", "loop"} <= set(stems(find_inputs([name])))
    assert stems(find_inputs([f"{album}/loop.jpg"])) == ["loop"]
    with pytest.raises(ImageError, match="there is no file"):
        read_image(album / "gone.jpg")
    with pytest.raises(ImageError, match="symbolic links"):
        read_image(album / "loop.jpg")


@pytest.mark.parametrize("name", ["x" * 300, "y/" * 2500 + "z.jpg", "x" * 300 + "*.jpg"])
def test_names_too_long_for_the_system_are_refused_in_words(name: str) -> None:
    def read_all() -> None:
        for entry in find_inputs([name]):
            read_image(entry.path or "")

    with pytest.raises(ImageError, match=r"File name too long|no image matches"):
        read_all()


@pytest.mark.parametrize("pattern", ["{}", "{}/*/*.jpg", "{}/**/*.jpg"])
def test_what_cannot_be_read_is_not_left_out(pattern: str) -> None:
    with folder_of_a_user() as folder:
        for name in ("open/1.jpg", "closed/2.jpg"):
            (folder / name).parent.mkdir()
            (folder / name).touch()
        (folder / "closed").chmod(0)
        entries = list(find_inputs([pattern.format(folder)]))
        assert sorted(stems(entries)) == ["closed", "open/1"]
        with pytest.raises(ImageError, match="Permission denied"):
            read_image(folder / "closed")
        [entry] = find_inputs([f"{folder}/closed/2.jpg"])
        with pytest.raises(ImageError, match="Permission denied"):
            read_image(entry.path or "")
