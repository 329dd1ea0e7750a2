"""On a Ray cluster of two nodes: the same files as `predict`, byte for byte, though an actor dies in the middle."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import read_classes
from semask_cli.distributed.answers import Answer, Outputs
from semask_cli.distributed.segment_batch import SegmentBatch
from semask_cli.errors import ImageError, UsageError
from semask_cli.evaluation.cluster_source import CountBatch
from semask_cli.evaluation.counting import Counted, Counting
from semask_cli.io.resources import project_file
from semask_cli.ray import answer_of, cluster, segment
from tests.support.command_line import Run, measured
from tests.support.forking import Fork
from tests.support.written import written_files

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.ray]

TOY = ("--model", "toy-street-fpn", "--threads", "1", "--device", "cpu")
TINY, SCENES = 24, 6


@pytest.fixture(scope="module")
def nodes() -> Iterator[object]:
    """A cluster of this machine alone: a head, and a second node that has joined it."""
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    started.add_node(num_cpus=1)
    yield started
    started.shutdown()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Scenes, tiny images, and one that is damaged."""
    folder = tmp_path / "album"
    (folder / "tiny").mkdir(parents=True)
    scenes = sorted((project_file("demo") / "images").iterdir())
    for number in range(SCENES):
        shutil.copy(scenes[number % len(scenes)], folder / f"{number}{scenes[0].suffix}")
    pixels = np.random.default_rng(0)
    for number in range(TINY):
        Image.fromarray(pixels.integers(0, 256, (8, 9, 3), np.uint8)).save(folder / f"tiny/{number}.png")
    (folder / "tiny/broken.png").write_bytes((folder / "tiny/0.png").read_bytes()[:70])
    return folder


def actors(nodes: object) -> list[int]:
    """The processes of actors on the cluster's nodes."""
    raylets = [info.process.pid for node in nodes.list_all_nodes() for info in node.all_processes["raylet"]]  # type: ignore[attr-defined]
    listed = [
        subprocess.run(
            ["pgrep", "-P", str(raylet), "-f", "ray::MapWorker"], capture_output=True, text=True, check=False
        )
        for raylet in raylets
    ]
    return [int(process) for processes in listed for process in processes.stdout.split()]


def test_predict_on_ray_writes_what_predict_writes(semask: Run, album: Path, tmp_path: Path, nodes: object) -> None:
    shutil.copy(album / "0.jpg", album / os.fsdecode(b"no text \xff.jpg"))
    options = (*TOY, "--scales", "native", "--save", "mask,overlay")
    alone = semask("predict", album, "-o", "alone", *options, check=ImageError.exit_code)
    address = nodes.address  # type: ignore[attr-defined]
    with (tmp_path / "said").open("w+") as said_to:
        run = Fork("predict", album, "-o", "out", *options, "--ray", address, cwd=tmp_path, stderr=said_to)
        while not written_files(tmp_path / "out", ".png"):
            assert run.poll() is None
            time.sleep(0.02)
        os.kill(actors(nodes)[-1], signal.SIGKILL)
        assert len(written_files(tmp_path / "out", ".png")) < TINY + SCENES
        printed, _ = run.communicate()
    said = (tmp_path / "said").read_text()
    assert run.returncode == ImageError.exit_code, said
    assert written_files(tmp_path / "out", ".png") == written_files(tmp_path / "alone", ".png")
    assert sorted(printed.replace("out/", "").splitlines()) == sorted(alone.stdout.replace("alone/", "").splitlines())
    assert "broken.png is truncated" in said
    assert "logging.cc" not in said
    assert f"1 of {TINY + SCENES + 2} images could not be segmented" in said


def test_a_dataset_of_images_becomes_one_of_masks(album: Path, nodes: object, tmp_path: Path) -> None:
    import ray.data

    paths = sorted(map(str, (album / "tiny").iterdir()))
    rows = {"id": [Path(path).stem for path in paths], "path": paths}
    options = {"scales": "native", "threads": 1}
    expected = SegmentBatch("toy-street-fpn", device="cpu", **options)(rows)
    with cluster(nodes.address):  # type: ignore[attr-defined]
        images = ray.data.from_items(
            [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        )
        segment(images, "toy-street-fpn", **options).write_parquet(str(tmp_path / "masks"))
    import pyarrow.parquet

    written = {row["id"]: row for row in pyarrow.parquet.read_table(tmp_path / "masks").to_pylist()}
    assert len(written) == TINY + 1
    for number, id in enumerate(rows["id"]):
        for column in ("width", "height", "mask", "classes", "error"):
            assert written[id][column] == expected[column][number], (id, column)
    assert "truncated" in written["broken"]["error"]["message"]


def test_an_evaluation_on_ray_has_the_same_figures(semask: Run, nodes: object, tmp_path: Path) -> None:
    demo = project_file("demo")
    images = ("--images", demo / "images", "--labels", demo / "labels", "--classes", demo / "toy-street.txt")
    command = ("eval", *images, *TOY, "--json", "--limit", "6", "--boundaries", "--calibration")
    alone = semask(*command, "--journal", tmp_path / "alone", "--save-pred", tmp_path / "masks").stdout
    address = nodes.address  # type: ignore[attr-defined]
    cluster_run = (*command, "--journal", tmp_path / "ray", "--ray", address)
    on_ray = semask(*cluster_run, "--save-pred", tmp_path / "masks-ray", "--report", tmp_path / "report").stdout
    assert measured(on_ray) == measured(alone)
    assert written_files(tmp_path / "masks-ray", ".png") == written_files(tmp_path / "masks", ".png")
    assert (tmp_path / "report/report.html").exists()


def test_an_answer_from_the_cluster_is_the_answer() -> None:
    segmenter, outputs = SegmentBatch("toy-street-fpn", device="cpu", threads=1).segmenter, Outputs(kinds=("mask",))
    answer = Answer.of(segmenter.predict(np.zeros((20, 30, 3), np.uint8)), outputs, name="a.png")
    row = answer.to_row()
    assert row["milliseconds"] > 0
    assert answer_of(row, outputs.kinds, segmenter.class_set.palette) == replace(
        answer, milliseconds=row["milliseconds"]
    )


def test_counts_travel_and_errors_are_rows(tmp_path: Path) -> None:
    """No labels or masks, unless these are wanted; as the cluster's processes have it, pickled."""
    demo = project_file("demo")
    class_set = read_classes(demo / "toy-street.txt")
    counting = Counting(classes=class_set, encoding=class_set.encoding("trainIds"))
    images = sorted((demo / "images").iterdir())[:2]
    labels = [demo / "labels" / f"{images[0].stem}.png", tmp_path / "none.png"]
    rows = {name: ["", ""] for name in ("instances",)} | {"id": ["a", "b"]}
    rows |= {"image": list(map(str, images)), "label": list(map(str, labels))}
    batch = pickle.loads(pickle.dumps(CountBatch("toy-street-fpn", device="cpu", threads=1, counting=counting)))
    first, second = batch(rows).to_pylist()
    counted = Counted.of_message(first["counted"], classes=len(class_set))
    assert (counted.record.id, counted.mask, first["error"]) == ("a", b"", None)
    assert sum(pixels for *_, pixels in counted.record.nonzero_counts) > 100_000
    assert len(first["counted"]) < 20_000
    assert (second["counted"], second["error"]["kind"]) == (None, "DatasetError")
    assert "none.png" in second["error"]["message"]


def test_what_is_no_cluster_is_said(semask: Run, album: Path) -> None:
    finished = semask("predict", album, "--ray", "127.0.0.1:1", *TOY, check=UsageError.exit_code)
    assert "no Ray cluster answers at 127.0.0.1:1" in finished.stderr
