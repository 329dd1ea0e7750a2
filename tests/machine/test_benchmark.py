"""`semask bench`'s figures, on a tiny model."""

from __future__ import annotations

import json

import pytest
import torch

import semask_cli
from semask_cli.cli.bench import bench
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


def test_peak_in_both_precisions(segmenter: semask_cli.Segmenter) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert benchmark.peak_gflops(torch.device("cpu"), dtype) > 0
