"""Lines that a kill tears or a disk changes are noticed; all others come back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.io import journal
from semask_cli.io.journal import JournalWriter, read_lines, settings_digest

HEADER = {"format": "a test"}
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())
LINES = st.lists(st.dictionaries(st.text(), VALUES, min_size=1), max_size=5)


@given(lines=LINES, cut=st.integers(0, 400), block=st.integers(1, 50))
def test_wherever_a_kill_cuts_whole_lines_remain_and_writing_goes_on(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, object]], cut: int, block: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "made" / "run.jsonl"
    writer = JournalWriter(path, HEADER)
    for line in lines:
        writer.append(line)
    writer.close()
    content = path.read_bytes()
    assert list(read_lines(path)) == [HEADER, *lines]
    path.write_bytes(content[:cut])
    whole = [HEADER, *lines][: content[:cut].count(b"\n")]
    assert list(read_lines(path)) == whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_BLOCK", block)
        JournalWriter(path, HEADER).append({"more": 1})
    assert list(read_lines(path)) == [*(whole or [HEADER]), {"more": 1}]


@given(lines=LINES.filter(bool), data=st.data())
def test_a_changed_byte_costs_its_line_alone(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, object]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("changed") / "run.jsonl"
    writer = JournalWriter(path, HEADER)
    for line in lines:
        writer.append(line)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1).filter(lambda at: content[at] != 10))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (10, content[at])))
    path.write_bytes(content)
    damaged = content[:at].count(b"\n")
    expected: list[dict[str, object] | None] = [HEADER, *lines]
    expected[damaged] = None
    assert list(read_lines(path)) == expected


def test_settings_have_one_digest_each() -> None:
    settings = {"model": "swin-t-fpn", "scales": (0.5, 1.0)}
    assert settings_digest(settings) == settings_digest({**settings, "scales": [0.5, 1.0]})
    assert settings_digest(settings) != settings_digest({**settings, "scales": [0.5]})


def test_a_pipe_in_the_place_of_a_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").mkdir()
    with pytest.raises(OSError, match="directory"):
        list(read_lines(tmp_path / "run.jsonl"))
