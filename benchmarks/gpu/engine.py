"""The whole engine on a GPU: the bundled models' labels beside the CPU's, and a folder of photographs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

import semask_cli
from benchmarks.gpu.bench import WRONG, Bench, Cases, Line, Measured
from semask_cli.inference.device import Precision
from toy_street import TEST_SEEDS, render

BUNDLED = ("toy-street-fpn", "toy-street-m2f")
EQUAL: dict[Precision, float] = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999}  # share of labels, at least
PHOTOGRAPH, PHOTOGRAPHS = (1000, 1500), 120


def sanitizer(bench: Bench) -> Cases:
    """The checks again, small, under compute-sanitizer."""
    yield Line(section="sanitizer", name="memcheck", case="checks"), partial(_memcheck, bench)


def _memcheck(bench: Bench) -> Measured:
    places = (shutil.which("compute-sanitizer"), "/usr/local/cuda/bin/compute-sanitizer")
    tool = next((place for place in places if place and os.access(place, os.X_OK)), None)
    if tool is None:
        raise ModuleNotFoundError(name="compute-sanitizer")
    with tempfile.TemporaryDirectory() as folder:
        options = ["--device", str(bench.device), "--tiny", "--section", "checks", "--out", folder, "--minutes", "1"]
        command = [tool, "--error-exitcode", "9", sys.executable, "-m", "benchmarks.gpu", *options]
        finished = subprocess.run(command, capture_output=True, text=True)
    said = finished.stdout + finished.stderr
    (bench.folder / "sanitizer.txt").write_text(said)
    if "Device not supported" in said:  # as in some sandboxes
        return {"note": "not measured: compute-sanitizer does not support this device"}
    return {"note": "right" if finished.returncode == 0 else f"{WRONG}: code {finished.returncode}, see sanitizer.txt"}


def labels(bench: Bench) -> Cases:
    """Labels that are equal to the CPU's, in float32, of both bundled models."""
    for model in BUNDLED:
        for precision, least in EQUAL.items():
            line = Line(section="labels", name=model, precision=precision)
            yield line, partial(_equal, bench, model, precision, least)


def _equal(bench: Bench, model: str, precision: Precision, least: float) -> Measured:
    images = [render(seed).image for seed in TEST_SEEDS[: 1 if bench.tiny else 8]]
    segmenter = semask_cli.load(model, device=str(bench.device), precision=precision)
    pairs = zip(images, _on_cpu(model, len(images)), strict=True)
    share = np.mean([segmenter.predict(image).labels == expected for image, expected in pairs])
    verdict = "right" if share >= least else WRONG
    return {"relative_error": 1 - float(share), "note": f"{verdict}, {share:.5%} equal"}


@cache
def _on_cpu(model: str, count: int) -> list[NDArray[np.uint8]]:
    segmenter = semask_cli.load(model, device="cpu", precision="fp32")
    return [segmenter.predict(render(seed).image).labels for seed in TEST_SEEDS[:count]]


def folder_rate(bench: Bench) -> Cases:
    """The first image after loading, the first of another size, and then images a second from files to labels."""
    for model in BUNDLED[:1] if bench.tiny else ("swin-l-m2f", "swin-t-fpn"):
        yield Line(section="folder", name=model, case="JPEG 1500 x 1000"), partial(_rate, bench, model)


def _rate(bench: Bench, model: str) -> Measured:
    count = 2 if bench.tiny else PHOTOGRAPHS
    segmenter = semask_cli.load(model, device=str(bench.device), random_weights=model not in BUNDLED)
    small = np.random.default_rng(0).integers(0, 256, (PHOTOGRAPH[0] // 8, PHOTOGRAPH[1] // 8, 3), np.uint8)
    photograph = cv2.resize(small, PHOTOGRAPH[::-1])  # smooth, as photographs are

    def seconds(image: object) -> float:
        start = time.perf_counter()
        segmenter.predict(image)  # type: ignore[arg-type]
        return time.perf_counter() - start

    first, other_size = seconds(photograph), seconds(np.ascontiguousarray(photograph.transpose(1, 0, 2)))
    for _ in range(3):
        seconds(photograph)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.jpg" for number in range(count)]
        for path in paths:
            cv2.imwrite(str(path), photograph)
        start = time.perf_counter()
        for result in segmenter.predict_each(paths):
            assert not isinstance(result, Exception), result
        spent = time.perf_counter() - start
    memory = torch.cuda.max_memory_allocated() / 2**30 if bench.device.type == "cuda" else 0.0
    note = (
        f"{count / spent:.1f} images a second; first {first:.2f} s, another size {other_size:.2f} s; {memory:.1f} GiB"
    )
    return {"milliseconds": 1000 * spent / count, "note": note}
