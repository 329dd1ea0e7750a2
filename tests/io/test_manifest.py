"""Lists of images in files, as programs and people write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from semask_cli.errors import UsageError
from semask_cli.io.inputs import Input
from semask_cli.io.manifest import Inputs, read_manifest


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_text_file_has_a_path_in_each_line(tmp_path: Path) -> None:
    file = written(tmp_path / "list.txt", "\ufeffa/one.jpg\n\n../two [x].png\r\n/data/three.v2.jpg")
    assert list(read_manifest(file)) == [
        Input(Path("a/one.jpg"), Path("a/one")),
        Input(Path("../two [x].png"), Path("two [x]")),
        Input(Path("/data/three.v2.jpg"), Path("data/three.v2")),
    ]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_names_results_by_id(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"list{ending}"
    if ending == ".csv":
        written(file, 'size,path,id\n1,"a, b.jpg",x/1\n2,c.jpg,\n')
    else:
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table({"size": [1, 2], "path": ["a, b.jpg", "c.jpg"], "id": ["x/1", None]}), file)
    assert list(read_manifest(file)) == [Input(Path("a, b.jpg"), Path("x/1")), Input(Path("c.jpg"), Path("c"))]


def test_a_row_that_is_no_file_has_an_input_that_cannot_be_read(tmp_path: Path) -> None:
    file = written(tmp_path / "list.txt", "/\n..\n.\n")
    assert [entry.id for entry in read_manifest(file)] == ["folder", "folder", "folder"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("list.json", "[]", "has no suffix of a list of images"),
        ("gone.txt", None, "cannot read"),
        ("list.csv", "id,path\n1,a.jpg\n2,\n", "row 2 of .* has no path"),
        ("list.csv", "id,path\n", "lists no image"),
        ("list.csv", 'id,path\n1,"a.jpg\n2,b.jpg\n', "not valid CSV from row 1 on"),
        ("list.txt", "a.jpg\nb\0.jpg\n", "row 2 of .* has no path"),
        ("list.csv", "path,id\na.jpg,../../etc/passwd\n", "leads out of the output folder"),
        ("list.csv", "path,id\na.jpg,/etc/passwd\n", "leads out of the output folder"),
        ("list.parquet", "text", "not a Parquet file"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    if text is not None:
        written(tmp_path / name, text)
    with pytest.raises(UsageError, match=said):
        list(read_manifest(tmp_path / name))


def test_what_a_run_is_over_comes_back_from_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "list.txt", f"{tmp_path}/one.jpg\n")
    (tmp_path / "album").mkdir()
    (tmp_path / "album/two.jpg").touch()
    inputs = Inputs(names=("album",), manifest=Path("list.txt"))
    stems = [entry.stem.name for entry in inputs.find(output=tmp_path / "out")]
    document = inputs.to_json()
    monkeypatch.chdir("/")
    again = Inputs.from_json(document)
    assert [entry.stem.name for entry in again.find(output=tmp_path / "out")] == stems == ["two", "one"]


@pytest.mark.parametrize("ending", [".txt", ".csv", ".parquet"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"list{ending}")
    with pytest.raises(UsageError, match="a pipe or a device"):
        list(read_manifest(tmp_path / f"list{ending}"))
