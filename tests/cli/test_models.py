"""`semask models` and `semask --version`."""

from __future__ import annotations

import json

from semask_cli import __version__
from semask_cli.zoo import load_zoo
from tests.support.command_line import Run


def test_the_table_has_every_row(semask: Run) -> None:
    table = semask("models").stdout
    for spec in load_zoo().models.values():
        line = next(line for line in table.splitlines() if line.split()[0] == spec.name)
        assert spec.dataset in line
        assert spec.miou is None or f"{spec.miou:.2f}" in line


def test_one_row_in_full(semask: Run) -> None:
    text = semask("models", "swin-l-m2f-msfapn").stdout
    for fact in ("1w-DRGufIv3zpDO7rJFv2z5WeLx0pDTJe", "1DQ9KltSLDj47H2jYnCtVwyBf7KPR9SM_", "56.54", "2, 3"):
        assert fact in text


def test_json(semask: Run) -> None:
    document = json.loads(semask("models", "--dataset", "cityscapes", "--json").stdout)
    assert document["schema_version"] == 1
    published = [row for row in document["models"] if row["checkpoints"] and row["checkpoints"][0]["drive_id"]]
    assert {row["name"] for row in published} == {
        f"{name}-cityscapes" for name in ("swin-t-fpn", "swin-s-fpn", "swin-b-fpn", "swin-l-fpn", "swin-l-m2f")
    }
    assert all(row["on_disk"] is None for row in published)


def test_help_has_its_short_option_in_every_command(semask: Run) -> None:
    assert semask("-h").stdout == semask("--help").stdout
    assert semask("models", "-h").stdout == semask("models", "--help").stdout


def test_version(semask: Run) -> None:
    assert semask("--version").stdout == f"semask {__version__}\n"
