"""Images that are segmented at the same time on a CPU: each with the threads that its size gives it, within memory."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import semask_cli
from semask_cli import Segmentation
from semask_cli.inference.config import Keep
from semask_cli.inference.cores import MEMORY, Cores
from tests.support.forking import finished_fork
from tests.support.miniature import save

SIZES = st.integers(1, 2 * MEMORY) | st.sampled_from([MEMORY // 3, MEMORY // 2, MEMORY])


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(SIZES, max_size=12), threads=st.integers(1, 5))
def test_passes_share_threads_and_memory(sizes: list[int], threads: int) -> None:
    lock, running, lent = threading.Lock(), dict[int, int](), dict[int, set[int]]()

    def run(number: int) -> None:
        with cores.lent(sizes[number]):
            with lock:
                running[number] = torch.get_num_threads()
                lent.setdefault(sizes[number], set()).add(running[number])
                assert sum(running.values()) <= threads
                assert len(running) == 1 or sum(sizes[each] for each in running) <= MEMORY
            time.sleep(0.0005)
            with lock:
                del running[number]

    with Cores(threads) as cores, ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(len(sizes))))
    assert all(len(counts) == 1 for counts in lent.values())


def test_a_pass_that_waits_for_threads_does_not_start_when_the_results_are_closed() -> None:
    started: list[int] = []
    with Cores(2) as cores, ThreadPoolExecutor(2) as pool:

        def run(number: int) -> None:
            with cores.lent(MEMORY):
                started.append(number)
                holding.set()
                closed.wait(5)

        holding, closed = threading.Event(), threading.Event()
        results = cores.until_closed(number for number in range(3))
        next(results)
        first = pool.submit(run, 0)
        assert holding.wait(5)
        second = pool.submit(run, 1)
        results.close()
        assert second.exception(5)
        closed.set()
        first.result(5)
    assert started == [0]


@pytest.fixture
def two_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_networks_run_side_by_side_but_not_for_an_image_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = semask_cli.load("toy-street-fpn", device="cpu")
    images = [np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8) for seed in range(4)]
    keep = Keep(top=19)
    expected = []
    for image in images:  # each image's threads, 1 of 2, give these scores
        torch.set_num_threads(1)
        expected.append(segmenter.predict(image, keep=keep))
    torch.set_num_threads(2)
    meeting, used = threading.Barrier(2), list[int]()
    predict = segmenter.predict_prepared

    def met(*given: Any, **options: Any) -> list[Segmentation]:
        meeting.wait(20)
        used.append(torch.get_num_threads())
        return predict(*given, **options)

    monkeypatch.setattr(segmenter, "predict_prepared", met)
    for found, wanted in zip(segmenter.predict_each(images, keep=keep), expected, strict=True):
        assert isinstance(found, Segmentation)
        assert found.scores is not None
        assert wanted.scores is not None
        np.testing.assert_array_equal(found.scores, wanted.scores)
    assert used == [1] * 4
    assert torch.get_num_threads() == 2

    monkeypatch.setattr(meeting, "wait", lambda timeout: 0)
    used.clear()
    options: Any = {"open_item": lambda item: item, "finish": lambda item, answer: answer, "alone": True}
    with closing(segmenter.process(images[:1], **options)) as results:
        assert len(list(results)) == 1
    assert used == [2]


@pytest.mark.slow
def test_shards_and_the_whole_write_the_same_scores(tmp_path: Path) -> None:
    for seed in range(3):
        save(tmp_path / f"in/{seed}.png", np.random.default_rng(seed).integers(0, 256, (70, 90, 3), np.uint8))
    command = ("predict", "in", "-m", "toy-street-m2f", "--threads", "2", "--save", "scores")
    for options in (("-o", "whole"), *(("-o", "shards", "--shard", f"{shard}/3") for shard in range(3))):
        finished = finished_fork(*command, *options, cwd=tmp_path, environment=os.environ)
        assert finished.returncode == 0, finished.stderr
    whole = sorted((tmp_path / "whole").glob("*.npz"))
    assert len(whole) == 3
    for path in whole:
        assert path.read_bytes() == (tmp_path / "shards" / path.name).read_bytes()
