"""How far an evaluation is can be told from its journal, with all shards that write there."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from semask_cli.errors import UsageError
from semask_cli.evaluation import journal
from semask_cli.evaluation.journal import Journal
from semask_cli.evaluation.records import Record
from semask_cli.evaluation.status import read_evaluations
from semask_cli.io.journal import decoded, encoded
from semask_cli.io.resources import project_file
from tests.support.command_line import Run

SETTINGS = {"dataset": "cityscapes", "split": "val", "model": "swin-t-fpn-cityscapes", "precision": "fp32"}


def record(number: int) -> Record:
    return Record(id=str(number), files="", image="", labels="", predicted="", nonzero_counts=())


def test_done_left_and_rate_of_two_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = count(1000, 2)
    monkeypatch.setattr(journal.time, "time", lambda: float(next(moments)))
    for shard in range(2):
        written = Journal(tmp_path / "run", SETTINGS, classes=3, number=shard, images=10)
        for number in range(3 + shard):
            written.append(record(10 * shard + number))
    (tmp_path / "run/rank-1.jsonl").open("ab").write(b'{"id": "torn')
    [run] = read_evaluations(tmp_path)
    assert (run.done, run.left, run.last) == (7, 13, 1012.0)
    assert run.per_second == pytest.approx(6 / 12)
    assert [run] == read_evaluations(tmp_path / "run")


@pytest.mark.parametrize("changed", [{"images": "three"}, {"settings": 1.5}, {"settings": {"dataset": []}}])
def test_a_header_that_no_evaluation_writes(tmp_path: Path, changed: dict[str, Any]) -> None:
    Journal(tmp_path, SETTINGS, classes=3, images=3).append(record(0))
    [file] = tmp_path.glob("*.jsonl")
    header, line = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(encoded({**decoded(header), **changed}) + line)  # type: ignore[dict-item]
    if "settings" in changed:
        with pytest.raises(UsageError, match="is damaged, or was written by another version"):
            read_evaluations(tmp_path)
    else:
        [run] = read_evaluations(tmp_path)
        assert (run.done, run.left) == (1, None)


@pytest.mark.parametrize("at", ["now", [], None, 10**400, float("nan")])
def test_times_that_are_none_do_not_count(tmp_path: Path, at: object) -> None:
    Journal(tmp_path, SETTINGS, classes=3, images=3).append(record(0))
    [file] = tmp_path.glob("*.jsonl")
    with file.open("ab") as appended:
        appended.write(encoded({"id": "1", "at": at}) + encoded({"id": 2}))
    [run] = read_evaluations(tmp_path)
    assert (run.done, run.left) == (2, 1)


def test_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no journal"):
        read_evaluations(tmp_path)


@pytest.mark.slow
def test_the_command_finds_evaluations_in_the_cache_or_by_their_journal(semask: Run) -> None:
    demo = project_file("demo")
    folders = ("--images", demo / "images", "--labels", demo / "labels", "--classes", demo / "toy-street.txt")
    command = ("eval", *folders, "--model", "toy-street-fpn", "--limit", "2")
    semask(*command, "--threads", "1")
    semask(*command, "--threads", "1", "--journal", "mine")
    for place in ((), ("mine",)):
        said = semask("status", *place).stdout
        assert "toy-street-fpn, fp32: toy-street" in said
        assert "2 done, 0 failed, 0 left" in said
    semask("eval", *folders, "--pred", demo / "labels", "--journal", "scored")
    assert semask("status", "scored").stdout.startswith(f"{demo / 'labels'}: toy-street\n  10 done")
