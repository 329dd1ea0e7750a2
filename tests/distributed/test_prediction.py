"""Any number of processes, any order, any kill: the same files, byte for byte."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from semask_cli.distributed.answers import Answer, Outputs
from semask_cli.distributed.parts import Parts
from semask_cli.distributed.prediction import Run, segment_here
from semask_cli.distributed.run_journal import RunJournal
from semask_cli.distributed.shards import Shard
from semask_cli.errors import ImageError, OutputError, SemaskError
from semask_cli.io.inputs import find_inputs
from semask_cli.output.paths import plan_outputs
from tests.support import filled
from tests.support.command_line import Run as CommandLine
from tests.support.command_line import start, start_shared
from tests.support.forking import exit_code, forked
from tests.support.toy_networks import SMALL_MODELS, toy_segmenter
from tests.support.written import written_files

IMAGES = 18
KILLS = 16
TOY = ("--model", "toy-street-fpn", "--threads", "1")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    for number in range(IMAGES):
        path = folder / f"{number % 3}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(filled.image(20 + number % 2, 30, number)).save(path)
    return folder


def run(
    album: Path, output: Path, *, shard: Shard | None = None, fresh: bool = False
) -> tuple[Run, dict[str, SemaskError | None]]:
    """A run of the toy network, and the error of each image that it has looked at."""
    shard = shard or Shard()
    inputs = (entry for entry in find_inputs([str(album)], output=output) if shard.holds(entry.id))
    whole = Run(
        plan_outputs(inputs, output, ["mask"]), journal=RunJournal(output, {"model": "toy"}, shard=shard, fresh=fresh)
    )
    segmenter = toy_segmenter(SMALL_MODELS["fpn"])
    outcomes = segment_here(whole, segmenter, Outputs(), open_stdin=lambda: b"", max_pixels=10**6)
    return whole, {outcome.task.entry.id: outcome.answer.error for outcome in outcomes}


def test_a_second_run_does_what_has_changed(album: Path) -> None:
    output = album / "masks"  # within the folder that is searched
    _, first = run(album, output)
    assert list(first.values()) == [None] * IMAGES
    masks = written_files(output)
    Image.fromarray(filled.image(20, 30, 99)).save(album / "0/0.png")
    (output / "1/1.png").unlink()
    (output / "2/2.png").write_bytes(b"damaged")
    state, again = run(album, output)
    assert list(again) == ["0/0", "1/1", "2/2"]
    assert (state.images, state.done_before) == (IMAGES, IMAGES - 3)
    assert {name for name, mask in written_files(output).items() if masks[name] != mask} == {"0/0.png"}
    assert not run(album, output)[1]
    assert len(run(album, output, fresh=True)[1]) == IMAGES
    assert not run(album, output)[1]


@pytest.mark.parametrize("in_parts", [False, True])
def test_an_image_that_changes_once_it_is_read_is_done_again(album: Path, tmp_path: Path, in_parts: bool) -> None:
    def begin() -> Run:
        journal = RunJournal(tmp_path / "out", {"model": "toy"}, shard=Shard())
        parts = Parts(tmp_path / "out", "webdataset", [], journal=journal) if in_parts else None
        return Run(plan_outputs(find_inputs([str(album)]), tmp_path / "out", []), journal=journal, parts=parts)

    first = begin()
    for task in first.pending():
        first.reading(task)
        if task.entry.id == "0/3":
            (album / "0/3.png").write_bytes(b"another image")
        first.write(task, Answer(width=1, height=1))
    first.close()
    assert [task.entry.id for task in begin().pending()] == ["0/3"]


def test_shards_in_any_order_are_the_whole_and_other_shards_go_on(album: Path, tmp_path: Path) -> None:
    run(album, tmp_path / "whole")
    shards = [Shard(index=index, count=5) for index in range(5)]
    random.Random(3).shuffle(shards)
    ids = [id for shard in shards for id in run(album, tmp_path / "parts", shard=shard)[1]]
    assert len(ids) == IMAGES == len(set(ids))
    assert written_files(tmp_path / "parts") == written_files(tmp_path / "whole")
    assert not run(album, tmp_path / "parts")[1]


def test_errors_are_outcomes_and_tried_again(album: Path, tmp_path: Path) -> None:
    (album / "0/0.png").write_bytes((album / "0/0.png").read_bytes()[:60])
    (tmp_path / "out/1/1.png").mkdir(parents=True)
    _, first = run(album, tmp_path / "out")
    state, again = run(album, tmp_path / "out")
    kinds = {"0/0": ImageError, "1/1": OutputError}
    assert {id: type(error) for id, error in first.items() if error} == kinds
    assert {id: type(error) for id, error in again.items()} == kinds
    assert state.done_before == IMAGES - 2


@pytest.mark.slow
@pytest.mark.forks
def test_kills_at_random_moments_change_nothing(album: Path, tmp_path: Path) -> None:
    """Of processes that are forked, so that each begins at once: one with all images, then three with a shard each."""
    torch.set_num_threads(1)  # the pool of more would not survive a fork
    run(album, tmp_path / "whole")
    undisturbed, began, kills, moments = written_files(tmp_path / "whole"), time.monotonic(), 0, random.Random()
    run(album, tmp_path / "timed")
    seconds, turn = time.monotonic() - began, 0
    while kills < KILLS:
        output = tmp_path / f"out-{turn // 10}"
        shards = [Shard()] if turn % 2 else [Shard(index=index, count=3) for index in range(3)]
        children = [forked(lambda shard=shard, output=output: run(album, output, shard=shard)) for shard in shards]
        time.sleep(moments.uniform(0, seconds / len(children)))
        for child in children:
            os.kill(child, signal.SIGKILL)
            kills += exit_code(child) == -signal.SIGKILL
        assert written_files(output).items() <= undisturbed.items()
        turn += 1
    for output in tmp_path.glob("out-*"):
        run(album, output)
        assert written_files(output) == undisturbed
        assert not [path for path in output.rglob("*") if path.name.endswith(".part")]


@pytest.mark.slow
def test_kills_of_the_command_change_nothing(semask: CommandLine, album: Path, tmp_path: Path) -> None:
    """One process, a shard and torchrun, each killed, and at last torchrun again, all in one folder."""
    semask("predict", album, "-o", "whole", *TOY)
    undisturbed = written_files(tmp_path / "whole")
    moments, output = random.Random(), tmp_path / "out"
    command = ("predict", album, "-o", output, *TOY)
    for options, begin in (((), start), (("--shard", "1/2"), start), ((), partial(start_shared, 2))):
        before = len(written_files(output))
        wanted = moments.randint(before + 1, before + (IMAGES - before) // 3 + 1)
        process = begin(*command, *options)
        while process.poll() is None and len(written_files(output)) < wanted:
            time.sleep(0.002)
        for victim in (*_children(process.pid), process.pid):
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        process.communicate()
        assert written_files(output).items() <= undisturbed.items()
    assert start_shared(2, *command).wait() == 0
    assert written_files(output) == undisturbed
    again = semask(*command)
    assert (again.stdout, written_files(output)) == ("", undisturbed)
    assert f"{IMAGES} of {IMAGES} images were done before; --fresh redoes them" in again.stderr
    assert len(json.loads(semask(*command, "--json").stdout)["pictures"]) == IMAGES
    assert written_files(output) == undisturbed


def _children(process: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False)
    return [int(child) for child in listed.stdout.split()]
