"""One file of all results: each image once, its latest row, whatever was killed; readable by other programs."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from semask_cli.distributed import parts, run_journal, table
from semask_cli.distributed.answers import Answer
from semask_cli.distributed.parts import Parts
from semask_cli.distributed.prediction import Run
from semask_cli.distributed.run_journal import RunJournal
from semask_cli.distributed.shards import Shard
from semask_cli.distributed.table import joined_parts, parts_folder, table_of
from semask_cli.errors import ImageError, OutputError
from semask_cli.io.inputs import find_inputs
from semask_cli.io.storage import Address
from semask_cli.output.paths import plan_outputs
from tests.support import filled
from tests.support.command_line import Run as CommandLine
from tests.support.command_line import start

parquet = pytest.importorskip("pyarrow.parquet")


def rows(file: Path) -> dict[str, str | None]:
    """The mask of each image; no image has two."""
    columns = parquet.read_table(file, columns=["id", "mask"]).to_pydict()
    assert len(set(columns["id"])) == len(columns["id"])
    return dict(zip(columns["id"], [mask and mask.decode() for mask in columns["mask"]], strict=True))


class Killed(BaseException):
    pass


class Album:
    """Images that are files of any bytes, which stand for their masks, and runs over them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder / "album", folder / "results.parquet"
        self.folder.mkdir()

    def write(self, *names: str, content: str = "first") -> None:
        for name in names:
            (self.folder / f"{name}.png").write_text(content)

    def run(self, *, images: int | None = None, settings: str = "one", shard: str = "0/1", fresh: bool = False) -> int:
        """How many images were looked at; after so many `images` it is killed."""
        output, whose = parts_folder(self.file), Shard.parse(shard)
        journal = RunJournal(output, {"model": settings}, shard=whose, fresh=fresh)
        inputs = (entry for entry in find_inputs([str(self.folder)]) if whose.holds(entry.id))
        run = Run(
            plan_outputs(inputs, output, ["mask"]),
            journal=journal,
            parts=Parts(output, "parquet", ["mask"], journal=journal),
        )
        looked = 0
        for task in run.pending():
            if looked == images:
                return looked
            assert isinstance(task.entry.path, Path)
            run.reading(task)
            content = task.entry.path.read_bytes()
            if content == b"broken":
                run.write(task, Answer(error=ImageError("it is broken")))
            else:
                run.write(task, Answer(width=1, height=1, files={"mask": content}))
            looked += 1
        run.close()
        if whose.count == 1:
            run.join(self.file)
        return looked

    def expected(self) -> dict[str, str]:
        return {path.stem: path.read_text() for path in self.folder.iterdir()}


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Album:
    monkeypatch.setattr(parts, "ROWS", 3)
    album = Album(tmp_path)
    album.write(*"abcdefgh")
    return album


def test_a_table_that_was_damaged_since_is_not_taken_for_the_results(album: Album) -> None:
    assert album.run() == 8
    masks = parquet.read_metadata(album.file).row_group(0).column(4)
    assert masks.path_in_schema == "mask"
    content = bytearray(album.file.read_bytes())
    content[masks.dictionary_page_offset + masks.total_compressed_size - 1] ^= 1
    album.file.write_bytes(content)
    with pytest.raises(OutputError, match=r"cannot read .*results\.parquet: "):
        album.run()
    album.file.unlink()
    assert album.run() == 8
    assert rows(album.file) == album.expected()


def left(album: Album) -> list[Path]:
    return sorted(parts_folder(album.file).glob("part-*"))  # type: ignore[union-attr]


def test_all_results_are_in_one_file_and_known_as_done(album: Album) -> None:
    assert album.run() == 8
    assert rows(album.file) == album.expected()
    assert not left(album)
    assert album.run() == 0
    album.write("i", "j")
    album.write("b", content="changed")
    assert album.run() == 3
    assert rows(album.file) == album.expected()
    album.write("c", content="changed")
    assert album.run() == 1  # the file goes on with the rows of those before
    assert rows(album.file) == album.expected()
    assert album.run() == 0


def test_an_error_is_tried_again(album: Album) -> None:
    album.write("b", content="broken")
    album.run()
    assert album.run() == 1
    assert rows(album.file) == album.expected() | {"b": None}


def test_without_the_file_all_is_done_again(album: Album) -> None:
    album.run()
    album.file.unlink()
    assert album.run() == 8
    album.file.write_bytes(b"another program's")
    assert album.run() == 8
    assert rows(album.file) == album.expected()


def test_other_settings_replace_it(album: Album) -> None:
    album.run()
    assert album.run(settings="two", images=4) == 4
    assert album.run() == 0  # the file is still of the first
    assert album.run(settings="two") == 5  # a part of three was there
    assert rows(album.file) == album.expected()
    assert album.run(settings="two") == 0
    assert album.run() == 8
    assert album.run(fresh=True) == 8
    assert rows(album.file) == album.expected()


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "results.parquet")
    with pytest.raises(OSError, match="it is a pipe or a device"):
        joined_parts(tmp_path / "results.parquet")


def test_shards_leave_parts_that_one_process_joins(album: Album) -> None:
    assert sum(album.run(shard=f"{index}/3") for index in (2, 0, 1)) == 8
    assert not album.file.exists()
    assert album.run() == 0
    assert rows(album.file) == album.expected()


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_any_step_loses_nothing(album: Album, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Every step that changes files may be the last of its process."""
    monkeypatch.setattr(parts, "SAVE_SECONDS", 30.0 * (seed % 2))
    draw = random.Random(seed)
    steps = -1

    def killing(work: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            steps -= 1
            if steps == 0:
                raise Killed
            return work(*arguments, **options)

        return step

    for module, name in (
        (table, "whole_file_at"),
        (table, "remove"),
        (parts, "write"),
        (run_journal, "remove"),
        (RunJournal, "note_part"),
    ):
        monkeypatch.setattr(module, name, killing(getattr(module, name)))
    written = set(album.expected())
    for turn in range(40):
        steps = draw.randrange(1, 12)
        before = rows(album.file) if album.file.exists() else {}
        try:
            album.run()
            assert rows(album.file) == album.expected()
        except Killed:
            assert not album.file.exists() or before.keys() <= rows(album.file).keys() <= written
        if turn % 3 == 0:
            album.write(draw.choice("abcdefgh"), f"new-{turn}", content=str(turn))
            written |= album.expected().keys()
    steps = -1
    album.run()
    assert rows(album.file) == album.expected()
    assert album.run() == 0
    assert not left(album)


def test_a_damaged_part_is_made_anew_or_told_in_words(album: Album) -> None:
    incompressible = "0123456789abcdefghijklmnopqrstuvwxyz"
    album.write("a", content=incompressible)
    album.run(images=4)
    [part] = left(album)
    part.write_bytes(part.read_bytes()[:200])
    album.run(images=4)
    [part] = left(album)
    content = bytearray(part.read_bytes())
    content[content.index(incompressible.encode())] ^= 1
    part.write_bytes(content)
    with pytest.raises(OutputError, match=f"cannot read {part}"):
        album.run()
    part.unlink()
    assert album.run() == 3
    assert rows(album.file) == album.expected()


def test_bits_that_flip_in_the_file_lose_no_image_in_silence(album: Album, caplog: pytest.LogCaptureFixture) -> None:
    album.run()
    content, drawn, advice = album.file.read_bytes(), random.Random(2), set()
    for number in range(60):
        damaged, place = bytearray(content), drawn.randrange(len(content))
        damaged[place] ^= 1 << drawn.randrange(8)
        album.file.write_bytes(damaged)
        table._report_damage.cache_clear()
        album.write("i", content=f"again {number}")
        try:
            album.run()
        except OutputError as error:
            advice.add(error.suggestion)
            album.file.unlink()
            album.run()
        assert rows(album.file) == album.expected()
    assert advice == {"Remove it; its images will be segmented again."}
    assert "is damaged" in caplog.text


def test_groups_of_rows_are_as_large_as_a_reader_likes(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    album.run()
    assert parquet.read_metadata(album.file).num_row_groups == 1
    monkeypatch.setattr(table, "BYTES", 1)
    album.write("z")
    album.run()
    assert parquet.read_metadata(album.file).num_row_groups == 2


def test_folder_and_file_name_each_other() -> None:
    for file in (Path("a/b.parquet"), Address("s3://bucket/a/b.parquet")):
        assert table_of(parts_folder(file)) == file
    assert parts_folder(Path("a/b.parquet")) == Path("a/.b.parquet.parts")
    assert table_of(Path("masks")) is None


def test_in_a_store_it_is_the_same(album: Album) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.store.clear()
    album.file = Address("memory://bucket/results.parquet")  # type: ignore[assignment]
    assert album.run(images=4) == 4
    assert album.run() == 5
    assert album.run() == 0
    album.write("i")
    assert album.run() == 1
    with store.open("memory://bucket/results.parquet") as file:
        assert rows(file) == album.expected()
    assert len(joined_parts(album.file)) == 4
    assert [name for name in store.find("bucket") if "part-" in name and name.endswith(".parquet")] == []


@pytest.mark.slow
def test_the_command_goes_on_and_other_programs_read_it(semask: CommandLine, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    (tmp_path / "album").mkdir()
    for number in range(8):
        Image.fromarray(filled.image(20, 30, number)).save(tmp_path / f"album/{number}.png")
    (tmp_path / "album/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    toy = ("-m", "toy-street-fpn", "--threads", "1")
    command = ("predict", tmp_path / "album", *toy, "-o", tmp_path / "results.parquet")
    process = start(*command)
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline()
    process.send_signal(signal.SIGINT)  # what was done is written
    process.communicate()
    assert not (tmp_path / "results.parquet").exists()
    finished = semask(*command, check=3)
    assert "images were done before" in finished.stderr
    assert f"all results in one file: {tmp_path / 'results.parquet'}" in finished.stderr
    Image.fromarray(filled.image(20, 30, 99)).save(tmp_path / "album/99.png")
    again = semask(*command, check=3)  # what is broken is tried again
    assert again.stdout.splitlines()[0].startswith(f"{tmp_path / 'album/99.png'} ")
    table = polars.read_parquet(tmp_path / "results.parquet")
    assert sorted(table["id"]) == ["0", "1", "2", "3", "4", "5", "6", "7", "99", "broken"]
    assert table.filter(polars.col("error").is_null())["mask"].bin.starts_with(b"\x89PNG").sum() == 9
    assert "9 done, 1 failed, 0 left" in semask("status", tmp_path / "results.parquet").stdout


@pytest.mark.parametrize(("option", "said"), [((), "it is a folder"), (("--json",), "Give one of them")])
def test_what_cannot_be_is_said(semask: CommandLine, tmp_path: Path, option: tuple[str, ...], said: str) -> None:
    (tmp_path / "masks.parquet").mkdir()
    assert said in semask("predict", "one.jpg", "-o", "masks.parquet", *option, check=None).stderr
