"""Tables are read by people on any terminal, and by programs through pipes."""

from __future__ import annotations

import pytest
from rich.table import Table

from semask_cli.cli.printing import print_table


def test_cells_are_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    table = Table("model", "page", box=None)
    table.add_row("swin-l-fpn-coco-stuff10k *", "https://example.org/swin")
    print_table(table)
    assert "swin-l-fpn-coco-stuff10k *  https://example.org/swin" in capsys.readouterr().out
