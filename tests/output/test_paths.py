"""No result replaces another one, or an image that is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from semask_cli.errors import OutputError
from semask_cli.io.inputs import Input
from semask_cli.output import paths
from semask_cli.output.paths import Task, plan_outputs, refuse_results_as_inputs


def planned(entries: list[Input], folder: Path) -> list[Task]:
    return list(plan_outputs(entries, folder, ["mask"]))


def test_each_kind_has_its_file_below_the_folder() -> None:
    entry = Input(Path("photos/x/one.jpg"), Path("x/one"))
    [task] = plan_outputs([entry], Path("out"), ["mask", "overlay", "json"])
    assert task.entry == entry
    assert task.files == {
        "mask": Path("out/x/one.png"),
        "overlay": Path("out/x/one.overlay.jpg"),
        "json": Path("out/x/one.json"),
    }


def test_two_images_with_one_result_are_refused() -> None:
    with pytest.raises(OutputError, match=r"a\.jpg and a\.png would both be written"):
        planned([Input(Path("a.jpg"), Path("a")), Input(Path("a.png"), Path("a"))], Path("out"))


def test_two_images_with_one_row_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [Input(Path("one/a.jpg"), Path("a")), Input(Path("two/a.jpg"), Path("a"))]
    with pytest.raises(OutputError, match=r"one/a\.jpg and two/a\.jpg would both have the row a"):
        list(plan_outputs(both, Path("out"), ()))
    monkeypatch.setattr(paths, "CHECKED_FIRST", 0)
    first, second = plan_outputs(both, Path("out"), ())
    assert first.error is None
    assert "the row a is already that of another image than two/a.jpg" in str(second.error)


def test_an_image_that_is_read_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="would replace an input file"):
        planned([Input(tmp_path / "a.png", Path("a"))], tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="would replace an input file"):
        planned([Input(tmp_path / "a.png", Path("a"))], tmp_path / "link")


@pytest.mark.parametrize(
    ("output", "page", "refused"),
    [
        ("photos", None, "-o"),
        ("link", None, "-o"),
        ("photos/masks", None, None),
        ("masks", "photos", "--report"),
        ("masks", "link/page", "--report"),
        ("photos/masks", "photos/masks/page", None),
        ("masks", "page", None),
    ],
)
def test_results_are_not_the_inputs_of_the_next_run(
    tmp_path: Path, output: str, page: str | None, refused: str | None
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    names, folder = [str(tmp_path / "photos"), str(tmp_path / "photos/a.jpg")], tmp_path / page if page else None
    if refused:
        with pytest.raises(OutputError, match="is a folder of inputs") as caught:
            refuse_results_as_inputs(names, output=tmp_path / output, kinds=["mask"], page=folder)
        assert caught.value.suggestion == f"Name another folder with {refused}."
    else:
        refuse_results_as_inputs(names, output=tmp_path / output, kinds=["mask"], page=folder)
    refuse_results_as_inputs(names, output=tmp_path / "photos", kinds=["json", "geojson"], page=None)


def test_a_checkpoint_or_a_list_of_images_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "weights.png").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").symlink_to(tmp_path / "weights.png")
    with pytest.raises(OutputError, match="would replace an input file"):
        list(
            plan_outputs([Input(Path("a.jpg"), Path("a"))], tmp_path / "out", ["mask"], read=[tmp_path / "weights.png"])
        )


def test_names_that_macos_takes_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [Input(Path("a.jpg"), Path("a")), Input(Path("A.tif"), Path("A"))]
    assert len(planned(both, tmp_path)) == 2
    monkeypatch.setattr(paths, "_ignores_case", lambda: True)
    with pytest.raises(OutputError, match="would both be written"):
        planned(both, tmp_path)
    with pytest.raises(OutputError, match="would replace an input file"):
        planned([Input(tmp_path / "B.PNG", Path("B"))], tmp_path)
    monkeypatch.setattr(paths, "CHECKED_FIRST", 1)
    assert [bool(task.error) for task in planned(both, tmp_path)] == [False, True]


def test_an_image_that_is_named_twice_is_segmented_once() -> None:
    entry = Input(Path("a.jpg"), Path("a"))
    assert [task.entry for task in planned([entry, entry], Path("out"))] == [entry]


def test_far_into_a_run_what_cannot_be_written_is_an_error_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "CHECKED_FIRST", 1)
    (tmp_path / "c.png").touch()
    entries = [Input(tmp_path / name, Path(name).with_suffix("")) for name in ("a.jpg", "b.jpg", "c.png", "a.png")]
    beside = planned(entries, tmp_path / "out")
    assert [task.error is None for task in beside] == [True, True, True, False]
    assert "has already been written for another image" in str(beside[3].error)
    within = planned(entries[1:3], tmp_path)
    assert "would replace an input file" in str(within[1].error)


def test_inputs_are_asked_for_when_their_turn_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "CHECKED_FIRST", 2)
    asked = []

    def endless() -> Iterator[Input]:
        while True:
            asked.append(Input(Path(f"{len(asked)}.jpg"), Path(str(len(asked)))))
            yield asked[-1]

    next(plan_outputs(endless(), Path("out"), ["mask"]))
    assert len(asked) == 2
