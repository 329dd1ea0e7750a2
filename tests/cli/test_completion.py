"""The Tab key, as bash asks for what it offers."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from semask_cli.cli import app


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["semask", "predict", "-m", "toy"], ["toy-street-fpn", "toy-street-m2f"]),
        (["semask", "eval", "--dataset", "pascal-c"], ["pascal-context59"]),
        (["semask", "download", "swin-l-m2f-c"], ["swin-l-m2f-cityscapes"]),
    ],
    ids=" ".join,
)
def test_names_are_completed(words: list[str], offered: list[str]) -> None:
    asked = {"_SEMASK_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    assert CliRunner().invoke(app, [], prog_name="semask", env=asked).stdout.split() == offered
