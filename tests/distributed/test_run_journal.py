"""An image is done while its source and its files are what they were, under the same settings."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest

from semask_cli.distributed import run_journal
from semask_cli.distributed.run_journal import RunJournal
from semask_cli.distributed.shards import Shard
from semask_cli.errors import ImageError, OutputError
from semask_cli.io.manifest import Inputs
from semask_cli.io.storage import Address, Place, state, write

SETTINGS = {"model": "swin-t-fpn", "outputs": ["mask"]}


def journal(folder: Place, *, shard: str = "0/1", fresh: bool = False, **settings: object) -> RunJournal:
    return RunJournal(folder, {**SETTINGS, **settings}, shard=Shard.parse(shard), fresh=fresh)


def note(
    journal: RunJournal, id: str, source: Place, files: Sequence[Place], *, error: ImageError | None = None
) -> None:
    journal.note(id, state(source), files, error=error)


@pytest.fixture
def image(tmp_path: Path) -> tuple[str, Path, list[Path]]:
    source, mask = tmp_path / "one.jpg", tmp_path / "out/one.png"
    mask.parent.mkdir()
    source.write_bytes(b"pixels")
    mask.write_bytes(b"labels")
    return "one", source, [mask]


def test_what_was_noted_is_done_for_every_later_process(tmp_path: Path, image: tuple[str, Path, list[Path]]) -> None:
    before = journal(tmp_path / "out")
    assert not before.is_done(*image)
    note(before, *image)
    assert journal(tmp_path / "out").is_done(*image)
    assert journal(tmp_path / "out", shard="3/7").is_done(*image)
    assert not journal(tmp_path / "out").is_done("two", *image[1:])
    assert not journal(tmp_path / "out", model="swin-l-m2f").is_done(*image)
    assert journal(tmp_path / "out").is_done(*image)  # other settings took nothing away
    assert not journal(tmp_path / "out", fresh=True).is_done(*image)


def test_results_of_another_model_in_the_folder_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal(tmp_path)
    journal(tmp_path, outputs=["overlay"])
    journal(tmp_path, model="swin-l-m2f", shard="1/2")
    assert not caplog.messages
    journal(tmp_path, model="swin-l-mf", shard="0/2")
    [said] = caplog.messages
    assert f"{tmp_path} was written with other settings (model was swin-" in said
    assert "is swin-l-mf): files of other names stay" in said


def test_whatever_changes_is_done_again(tmp_path: Path, image: tuple[str, Path, list[Path]]) -> None:
    _, source, [mask] = image
    note(journal(tmp_path / "out"), *image)
    times = os.stat(source).st_atime_ns, os.stat(source).st_mtime_ns
    for change in (
        lambda: source.write_bytes(b"others"),
        lambda: mask.write_bytes(b""),
        lambda: mask.unlink(),
        lambda: os.utime(source, ns=(times[0], times[1] + 1)),
    ):
        again = journal(tmp_path / "out")
        change()
        assert not again.is_done(*image)
        mask.write_bytes(b"labels")
        note(again, *image)
        assert journal(tmp_path / "out").is_done(*image)


def test_a_failure_is_noted_and_not_done(tmp_path: Path, image: tuple[str, Path, list[Path]]) -> None:
    note(journal(tmp_path / "out"), *image, error=ImageError("one.jpg is truncated"))
    assert not journal(tmp_path / "out").is_done(*image)
    [file] = (tmp_path / "out").rglob("*.jsonl")
    assert "one.jpg is truncated" in file.read_text()


def test_damaged_lines_cost_their_image_alone(tmp_path: Path, image: tuple[str, Path, list[Path]]) -> None:
    noted = journal(tmp_path / "out")
    note(noted, *image)
    note(noted, "two", *image[1:])
    [file] = (tmp_path / "out").rglob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([b"null\n", lines[1].replace(b'"done":"', b'"done":"0'), lines[2], b'{"torn']))
    again = journal(tmp_path / "out")
    assert (again.is_done(*image), again.is_done("two", *image[1:])) == (False, True)


def test_a_journal_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / ".semask-journal").touch()
    with pytest.raises(OutputError, match="cannot use the journal"):
        journal(tmp_path)


def test_runs_into_one_folder_take_no_name_of_a_part_twice(tmp_path: Path) -> None:
    first, second = journal(tmp_path / "out"), journal(tmp_path / "out")
    names = [run.next_part(".tar") for run in (first, second, first, second)]
    assert len(set(names)) == 4


def test_runs_into_one_folder_of_a_store_keep_what_each_has_noted() -> None:
    pytest.importorskip("fsspec").filesystem("memory").store.clear()
    output = Address("memory://bucket/out")
    runs = [journal(output), journal(output)]
    for number, run in enumerate(runs):
        for file in (output / f"{number}.jpg", output / f"{number}.png"):
            write(file, b"pixels")
        note(run, str(number), output / f"{number}.jpg", [output / f"{number}.png"])
    for run in runs:
        run.close()
    again = journal(output)
    assert all(again.is_done(str(n), output / f"{n}.jpg", [output / f"{n}.png"]) for n in range(2))


def test_a_store_that_cannot_be_written_ends_a_run_before_its_first_image(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec").filesystem("memory").store.clear()
    refusal = OutputError("the specified bucket does not exist")

    def refuse(target: Place, content: bytes) -> None:
        raise refusal

    monkeypatch.setattr(run_journal, "write", refuse)
    with pytest.raises(OutputError) as caught:
        journal(Address("memory://bucket/out")).note_inputs(Inputs(names=("photos",)))
    assert caught.value is refusal


def test_on_a_full_disk_nobody_is_told_to_start_over(tmp_path: Path) -> None:
    begun = journal(tmp_path / "out")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        with pytest.raises(OutputError, match="cannot write the journal in") as caught:
            any(begun.note(str(number), "1 1", []) for number in range(20))  # type: ignore[func-returns-value]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "start the same command again" in caught.value.suggestion
    assert "--fresh" not in caught.value.suggestion
