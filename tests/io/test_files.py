"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from semask_cli.errors import OutputError
from semask_cli.io.files import write_atomically


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
