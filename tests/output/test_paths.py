"""No result replaces another one, or an image that is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from semask_cli.errors import OutputError
from semask_cli.io.inputs import Input
from semask_cli.output.paths import output_paths


def test_each_kind_has_its_file_below_the_folder() -> None:
    entry = Input(Path("photos/x/one.jpg"), Path("x/one"))
    paths = output_paths([entry], Path("out"), ["mask", "overlay", "json"])
    assert paths == {
        entry: {
            "mask": Path("out/x/one.png"),
            "overlay": Path("out/x/one.overlay.jpg"),
            "json": Path("out/x/one.json"),
        }
    }


def test_two_images_with_one_result_are_refused() -> None:
    with pytest.raises(OutputError, match=r"a\.jpg and a\.png would both be written"):
        output_paths([Input(Path("a.jpg"), Path("a")), Input(Path("a.png"), Path("a"))], Path("out"), ["mask"])


def test_an_image_that_is_read_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="would replace an image that is read"):
        output_paths([Input(tmp_path / "a.png", Path("a"))], tmp_path, ["mask"])
