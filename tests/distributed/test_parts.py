"""Results in large files: every image once, whatever was killed, readable by other programs as it stands."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semask_cli.distributed import parts, run_journal
from semask_cli.distributed.answers import Answer, Outputs
from semask_cli.distributed.parts import Format, Parts
from semask_cli.distributed.prediction import Run, segment_here
from semask_cli.distributed.run_journal import RunJournal
from semask_cli.distributed.shards import Shard
from semask_cli.distributed.status import read_status
from semask_cli.errors import OutputError
from semask_cli.io.inputs import find_inputs
from semask_cli.output import paths
from semask_cli.output.paths import plan_outputs
from tests.support import filled
from tests.support.command_line import Run as CommandLine
from tests.support.command_line import start
from tests.support.toy_networks import SMALL_MODELS, toy_segmenter

IMAGES = 12
BROKEN = os.fsdecode(b"broken \xff")  # a name that is no text
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    (tmp_path / "album/x").mkdir(parents=True)
    for number in range(IMAGES - 1):
        Image.fromarray(filled.image(20, 30, number)).save(tmp_path / f"album/x/{number}.v2.png")
    (tmp_path / f"album/{BROKEN}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path / "album"


def run(
    album: Path, output: Path, format: Format, *, kinds: tuple[Any, ...] = ("mask",), fresh: bool = False
) -> tuple[Run, int]:
    """A run of the toy network, and how many images it has looked at."""
    journal = RunJournal(output, {"format": format}, shard=Shard(), fresh=fresh)
    tasks = plan_outputs(find_inputs([str(album)]), output, kinds)
    whole = Run(tasks, journal=journal, parts=Parts(output, format, kinds, journal=journal))
    segmenter, outputs = toy_segmenter(SMALL_MODELS["fpn"]), Outputs(kinds=kinds)
    looked = len(list(segment_here(whole, segmenter, outputs, open_stdin=lambda: b"", max_pixels=10**6)))
    whole.close()
    return whole, looked


def rows(output: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(output.glob("*.parquet")) for row in parquet.read_table(file).to_pylist()]


def test_parts_hold_a_row_for_each_image(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ROWS", 5)
    assert run(album, tmp_path / "out", "parquet")[1] == IMAGES
    names = [path.name for path in sorted((tmp_path / "out").glob("*.parquet"))]
    assert [name.partition("-0-of-1-")[2] for name in names] == [f"{number:06d}.parquet" for number in range(3)]
    by_id = {row["id"]: row for row in rows(tmp_path / "out")}
    assert len(by_id) == IMAGES == len(rows(tmp_path / "out"))
    expected = toy_segmenter(SMALL_MODELS["fpn"]).predict(album / "x/3.v2.png")
    row = by_id["x/3.v2"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["mask"]))), expected.labels)
    assert (row["width"], row["height"], row["path"]) == (30, 20, str(album / "x/3.v2.png"))
    assert sum(share["pixels"] for share in row["classes"]) == 600
    assert by_id[r"broken \udcff"]["error"]["kind"] == "ImageError"
    again, looked = run(album, tmp_path / "out", "parquet")
    assert (looked, again.done_before) == (0, IMAGES)
    (tmp_path / "out" / names[1]).unlink()
    assert run(album, tmp_path / "out", "parquet")[1] == 5
    assert {row["id"]: row["mask"] for row in rows(tmp_path / "out")} == {id: row["mask"] for id, row in by_id.items()}
    assert run(album, tmp_path / "out", "parquet", fresh=True)[1] == IMAGES
    assert sorted(row["id"] for row in rows(tmp_path / "out")) == sorted(by_id)


@pytest.mark.parametrize("left", [0, 0.5])
def test_a_part_that_was_cut_off_is_made_anew(
    album: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, left: float
) -> None:
    run(album, tmp_path / "out", "parquet")
    [part] = (tmp_path / "out").glob("*.parquet")
    expected = rows(tmp_path / "out")
    part.write_bytes(part.read_bytes()[: int(left * part.stat().st_size)])
    assert [status.done for status in read_status(tmp_path / "out")] == [0]
    again, looked = run(album, tmp_path / "out", "parquet")
    assert (looked, again.done_before) == (IMAGES, 0)
    assert f"{part} is damaged" in caplog.text
    assert [row["mask"] for row in rows(tmp_path / "out")] == [row["mask"] for row in expected]


def test_classes_alone_need_no_masks(album: Path, tmp_path: Path) -> None:
    run(album, tmp_path / "out", "parquet", kinds=())
    assert "mask" not in rows(tmp_path / "out")[0]
    assert sum(bool(row["classes"]) for row in rows(tmp_path / "out")) == IMAGES - 1


def test_other_programs_read_them(album: Path, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    run(album, tmp_path / "out", "parquet")
    table = polars.read_parquet(tmp_path / "out/*.parquet")
    assert table.filter(polars.col("error").is_null()).height == IMAGES - 1


def test_tar_files_have_a_sample_for_each_image(album: Path, tmp_path: Path) -> None:
    run(album, tmp_path / "out", "webdataset", kinds=("mask", "json"))
    [file] = (tmp_path / "out").glob("*.tar")
    with tarfile.open(file) as archive:
        names = archive.getnames()
        facts = json.load(archive.extractfile("x/3%2Ev2.row.json"))  # type: ignore[arg-type]
        assert json.load(archive.extractfile(f"{BROKEN}.row.json"))["id"] == BROKEN  # type: ignore[arg-type]
    samples = {name[: name.index(".")] for name in names}
    assert len(samples) == IMAGES
    assert {name for name in names if name.startswith("x/3%2Ev2.")} == {
        "x/3%2Ev2.png",
        "x/3%2Ev2.json",
        "x/3%2Ev2.row.json",
    }
    assert (facts["id"], facts["width"]) == ("x/3.v2", 30)
    assert run(album, tmp_path / "out", "webdataset", kinds=("mask", "json"))[1] == 0


def test_an_image_has_a_row_of_its_own(semask: CommandLine, tmp_path: Path) -> None:
    for name in ("one/a.png", "two/a.png"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(filled.image(20, 30, 0)).save(tmp_path / name)
    command = ("predict", "--format", "parquet", "--save", "none", "-m", "toy-street-fpn", "--scales", "native")
    said = semask(*command, "one", "two", "-o", "out", check=OutputError.exit_code).stderr
    assert "one/a.png and two/a.png would both have the row a" in said
    assert not (tmp_path / "out").exists()
    semask(*command, "one", "-o", "one", "--save", "mask")  # no part replaces an image
    assert [row["path"] for row in rows(tmp_path / "one")] == ["one/a.png"]


def test_an_image_whose_row_is_taken_adds_none(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "CHECKED_FIRST", 0)
    Image.fromarray(filled.image(20, 30, 0)).save(album / "x/3.v2.tif")
    assert run(album, tmp_path / "out", "parquet", kinds=())[1] == IMAGES + 1
    assert len({row["id"] for row in rows(tmp_path / "out")}) == len(rows(tmp_path / "out")) == IMAGES


class Killed(BaseException):
    pass


def in_parts(output: Path) -> list[str]:
    """The ids in all parts, however often they are there."""
    ids = [row["id"] for row in rows(output)]
    for file in output.glob("*.tar"):
        with tarfile.open(file) as archive:
            ids += [name.removesuffix(".png") for name in archive.getnames() if name.endswith(".png")]
    return sorted(ids)


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_small_parts_save_what_a_full_one_then_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Format
) -> None:
    """Each step that changes files is once the last of its process."""
    monkeypatch.setattr(parts, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(parts, "ROWS", 4)
    ids = [str(number) for number in range(6)]
    (tmp_path / "album").mkdir()
    for id in ids:
        (tmp_path / f"album/{id}.png").write_text(id)
    steps = 0

    def killing(work: Any) -> Any:
        def step(*arguments: Any) -> None:
            nonlocal steps
            steps -= 1
            if steps == 0:
                raise Killed
            work(*arguments)

        return step

    for module, name in ((parts, "write"), (run_journal, "write"), (run_journal, "remove")):
        monkeypatch.setattr(module, name, killing(getattr(module, name)))

    def copied(output: Path, looked: list[str]) -> None:
        journal = RunJournal(output, {"format": format}, shard=Shard())
        tasks = plan_outputs(find_inputs([str(tmp_path / "album")]), output, ["mask"])
        copying = Run(tasks, journal=journal, parts=Parts(output, format, ["mask"], journal=journal))
        for task in copying.pending():
            looked.append(task.entry.id)
            copying.reading(task)
            copying.write(task, Answer(width=1, height=1, files={"mask": b"a mask"}))
        copying.close()

    for last in range(1, 100):
        output, before, after = tmp_path / f"out-{last}", list[str](), list[str]()
        steps = last
        with suppress(Killed):
            copied(output, before)
        if steps > 0:
            break
        saved = set(in_parts(output))
        assert len(saved) >= len(before) - 1
        copied(output, after)
        assert sorted(after) == sorted(set(ids) - saved)
        assert in_parts(output) == ids
        copied(output, after := [])
        assert not after
    assert last > 20


@pytest.mark.slow
def test_a_killed_run_loses_no_image_and_doubles_none(semask: CommandLine, album: Path, tmp_path: Path) -> None:
    command = (
        "predict",
        album,
        "-o",
        tmp_path / "out",
        "--format",
        "parquet",
        "-m",
        "toy-street-fpn",
        "--threads",
        "1",
    )
    process = start(*command)
    assert process.stdout is not None
    for _ in range(4):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)  # what was done is written
    process.communicate()
    done = len(rows(tmp_path / "out"))
    assert 4 <= done <= IMAGES
    killed = start(*command)
    time.sleep(0.5)
    killed.kill()
    killed.communicate()
    semask(*command, check=None)
    assert sorted(row["id"] for row in rows(tmp_path / "out")) == sorted(
        [r"broken \udcff", *(f"x/{number}.v2" for number in range(IMAGES - 1))]
    )
