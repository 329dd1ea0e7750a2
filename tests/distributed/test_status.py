"""How far a run is can be told from its journals, whoever asks, while it runs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from semask_cli.distributed import parts, run_journal
from semask_cli.distributed.answers import Answer
from semask_cli.distributed.parts import Parts
from semask_cli.distributed.run_journal import RunJournal
from semask_cli.distributed.shards import Shard
from semask_cli.distributed.status import read_status
from semask_cli.errors import ImageError, OutputError
from semask_cli.io import storage
from semask_cli.io.inputs import Input
from semask_cli.io.manifest import Inputs
from semask_cli.io.storage import state
from semask_cli.output.paths import Task
from tests.support.command_line import Run


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of ten images five are done by two shards, one of them after it had failed, and one has failed."""
    moments = iter(range(1000, 2000, 2))
    monkeypatch.setattr(run_journal.time, "time", lambda: float(next(moments)))
    (tmp_path / "album").mkdir()
    for number in range(10):
        (tmp_path / f"album/{number}.jpg").touch()
    output = tmp_path / "out"
    for index in range(2):
        shard = Shard(index=index, count=2)
        journal = RunJournal(output, {"model": "swin-t-fpn", "precision": "fp32", "outputs": ["mask"]}, shard=shard)
        journal.note_inputs(Inputs(names=(str(tmp_path / "album"),)))
        for number in range(index, 6, 2):
            source, mask = tmp_path / f"album/{number}.jpg", output / f"{number}.png"
            mask.touch()
            if number in (2, 5):
                journal.note(str(number), state(source), [mask], error=ImageError(f"{number}.jpg is truncated"))
            if number != 5:
                journal.note(str(number), state(source), [mask])
    return output


def test_done_failed_left_and_rate(output: Path) -> None:
    [run] = read_status(output)
    assert (run.done, run.left) == (5, 4)
    [failure] = run.failures
    assert (failure.kind, failure.images, failure.example) == ("ImageError", 1, "5.jpg is truncated")
    assert run.per_second == pytest.approx(6 / 14)
    assert run.seconds_left == pytest.approx(4 / run.per_second)


def test_the_rate_of_results_in_parts_is_that_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(1000, 1010, 2))
    monkeypatch.setattr(parts, "time", SimpleNamespace(time=lambda: next(moments), monotonic=lambda: 0.0))
    journal = RunJournal(tmp_path, {"format": "webdataset"}, shard=Shard())
    results = Parts(tmp_path, "webdataset", (), journal=journal)
    for number in range(5):
        task = Task(entry=Input(path=tmp_path / f"{number}.jpg", stem=Path(f"{number}")), files={})
        results.add(task, Answer(error=ImageError("no image")), None)
    results.close()
    [run] = read_status(tmp_path)
    assert run.per_second == 0.5


def test_the_command_says_it_in_words_and_in_json(semask: Run, output: Path) -> None:
    said = semask("status", output).stdout
    assert "swin-t-fpn, fp32: mask" in said
    assert "5 done, 1 failed, 4 left" in said
    assert "1 x ImageError, such as: 5.jpg is truncated" in said
    assert "start the same command again to resume" in said
    [run] = json.loads(semask("status", output, "--json").stdout)["runs"]
    assert (run["done"], run["left"], run["failures"][0]["images"]) == (5, 4, 1)


def test_where_no_run_was_that_is_said(semask: Run, tmp_path: Path) -> None:
    assert read_status(tmp_path) == []
    assert "there is no journal" in semask("status", tmp_path, check=2).stderr
    assert "there is no journal" in semask("status", check=2).stderr


def test_a_store_that_lists_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        """A store for which there are no credentials, with an error of its own kind."""

        def _strip_protocol(self, url: str) -> str:
            return url

        def ls(self, path: str, detail: bool) -> list[str]:
            raise RuntimeError("unable to locate credentials")

    monkeypatch.setattr(storage, "FIRST_WAIT", 0)
    monkeypatch.setattr(storage, "_file_system", lambda protocol: Closed())
    with pytest.raises(OutputError, match="s3://photos/masks: unable to locate credentials"):
        read_status(storage.Address("s3://photos/masks"))
