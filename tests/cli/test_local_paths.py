"""The address of a store is not taken for a path of this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from semask_cli.cli import main


@pytest.mark.parametrize(
    ("line", "option"),
    [
        (("predict", "a.png", "--report", "s3://b/page"), "--report"),
        (("predict", "--manifest", "https://b/list.txt"), "--manifest"),
        (("predict", "a.mp4", "-o", "s3://b/a.mp4"), "-o for a video"),
        (("predict", "a.tif", "-o", "s3://b/a.tif"), "-o for a raster"),
        (("eval", "--images", "s3://b/images", "--labels", "labels"), "--images"),
        (("eval", "--merge", "one", "--merge", "s3://b/two"), "--merge"),
        (("compare", "one.json", "s3://b/two.json"), "evaluations"),
        (("export", "toy-street-fpn", "-o", "s3://b/a.onnx"), "--output"),
    ],
)
def test_an_address_is_no_path_of_this_machine(
    line: tuple[str, ...],
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A folder called "s3:" was made of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["semask", *line])
    assert main() == 2
    [address] = [value for value in line if "://" in value]
    assert f"{option} takes a path on this machine, not {address}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
