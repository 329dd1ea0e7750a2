"""`semask bench`'s figures, on a tiny model."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

import semask_cli
from semask_cli.cli.bench import bench
from semask_cli.errors import UsageError
from semask_cli.machine import benchmark
from semask_cli.ops.cpu import multiplies_int8

HEIGHT, WIDTH = 40, 60


@pytest.fixture
def segmenter(monkeypatch: pytest.MonkeyPatch) -> semask_cli.Segmenter:
    monkeypatch.setattr(benchmark, "PEAK_SIZES", (64,))
    return semask_cli.load("toy-street-fpn", device="cpu")


def test_figures_that_follow_from_others(segmenter: semask_cli.Segmenter) -> None:
    result = benchmark.run_benchmark(segmenter, height=HEIGHT, width=WIDTH, repeats=2)
    assert (result.model, result.device, result.precision) == ("toy-street-fpn", "cpu", "fp32")
    assert (result.random_weights, result.calibrated_on_noise) == (False, False)
    assert (result.height, result.width, result.repeats) == (HEIGHT, WIDTH, 2)
    assert tuple(result.milliseconds) == tuple(stage for stage in benchmark.STAGES if stage != "copy")
    assert all(milliseconds > 0 for milliseconds in result.milliseconds.values())
    assert 0 < result.images_per_second < 1000 / max(result.milliseconds.values())
    rate = 1000 * result.network_gflop / result.milliseconds["network"]
    assert result.share_of_peak == pytest.approx(rate / result.peak_gflops)
    assert result.share_of_peak <= 1
    assert result.peak_memory > 1 << 26


@pytest.mark.skipif(not multiplies_int8(), reason="needs VNNI or AMX")
def test_noise_in_the_place_of_a_checkpoint_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "PEAK_SIZES", (64,))
    options = {"model": "toy-street-fpn", "device": "cpu", "precision": "int8", "size": f"{HEIGHT}x{WIDTH}"}
    for random_weights in (True, False):  # the bundled model has scales of its own
        bench(**options, random_weights=random_weights, repeats=1, as_json=True)
        document = json.loads(capsys.readouterr().out)
        assert (document["random_weights"], document["calibrated_on_noise"]) == (random_weights, random_weights)


@pytest.mark.parametrize("content", [b"\xff\xd8\xff", b"red,green\n1,2\n"])
def test_a_file_that_holds_something_else_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(benchmark, "PEAK_SIZES", (64,))
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"photo\.jpg"):
        bench(model="toy-street-fpn", device="cpu", size=f"{HEIGHT}x{WIDTH}", repeats=1, csv_file=file)
    assert file.read_bytes() == content


def test_rows_are_added_to_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "PEAK_SIZES", (64,))
    for _ in range(2):
        bench(model="toy-street-fpn", device="cpu", size="40x60", repeats=1, csv_file=tmp_path / "new/record.csv")
    rows = list(csv.DictReader((tmp_path / "new/record.csv").open(newline="")))
    assert [row["model"] for row in rows] == ["toy-street-fpn"] * 2


def test_what_never_ends_is_no_record_and_no_image_is_that_large() -> None:
    with pytest.raises(UsageError, match="/dev/zero"):
        bench(model="toy-street-fpn", csv_file=Path("/dev/zero"))
    with pytest.raises(UsageError, match="999999"):
        bench(model="toy-street-fpn", size="999999")


def test_a_network_is_never_faster_than_the_peak(
    segmenter: semask_cli.Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "peak_gflops", lambda *_: 1e-3)
    assert benchmark.run_benchmark(segmenter, height=HEIGHT, width=WIDTH, repeats=1).share_of_peak == 1


def test_operations_grow_with_the_views(segmenter: semask_cli.Segmenter) -> None:
    flipped = semask_cli.load("toy-street-fpn", device="cpu", flip=True)
    once = benchmark.network_gflop(segmenter, HEIGHT, WIDTH)
    assert once > 0.1
    assert benchmark.network_gflop(flipped, HEIGHT, WIDTH) == 2 * once


def test_operations_are_those_of_all_windows() -> None:
    options = {"device": "cpu", "scales": "native"}
    whole = semask_cli.load("toy-street-fpn", **options)
    windows = semask_cli.load("toy-street-fpn", **options, mode="slide", crop=(24, 32), stride=(20, 20))
    of_one = benchmark.network_gflop(whole, 24, 32)
    assert benchmark.network_gflop(windows, HEIGHT, WIDTH) == pytest.approx(2 * 3 * of_one)
    assert benchmark.network_gflop(windows, 24, 32) == of_one


def test_peak_in_both_precisions(segmenter: semask_cli.Segmenter) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert benchmark.peak_gflops(torch.device("cpu"), dtype) > 0
