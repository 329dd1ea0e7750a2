"""How fast a row runs here: milliseconds by stage, memory, and the share of what the machine can multiply."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from semask_cli.inference.segmenter import Segmenter
from semask_cli.inference.views import view_sizes
from semask_cli.models.build import build_model
from semask_cli.ops.linear import linear
from semask_cli.output.render import encode_mask

STAGES = ("decode", "resize", "network", "merge", "encode")
PEAK_SIZES = (2048, 4096)  # sides of the matrices whose product measures the machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Medians over `repeats` images of (height, width).

    `milliseconds` is by stage, `network_gflop` what the network computes for one image, `peak_gflops` the best matrix
    product measured in the same run (in the network's precision), `share_of_peak` the network's part of it.
    `peak_memory` is in bytes: of the process, or of the GPU.
    """

    model: str
    height: int
    width: int
    device: str
    precision: str
    threads: int
    repeats: int
    milliseconds: dict[str, float]
    images_per_second: float
    network_gflop: float
    peak_gflops: float
    share_of_peak: float
    peak_memory: int


def run_benchmark(segmenter: Segmenter, *, height: int, width: int, repeats: int) -> Benchmark:
    """Segment a JPEG of (height, width) `repeats` times, after a warm-up, and encode its mask."""
    image = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    image = cv2.resize(image, (width, height))  # smooth, as photographs are
    encoded = cv2.imencode(".jpg", image)[1].tobytes()
    dtype = torch.bfloat16 if segmenter.precision == "bf16" else torch.float32
    peak = peak_gflops(segmenter.device, dtype)
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for _ in range(repeats + 1):
        result = segmenter.predict(encoded)
        start = time.perf_counter()
        encode_mask(result.labels, result.palette, dataset=result.info.dataset, classes=result.classes)
        spent = {**result.info.milliseconds, "encode": 1000 * (time.perf_counter() - start)}
        for stage in STAGES:
            stages[stage].append(spent[stage])
    medians = {stage: statistics.median(times[1:]) for stage, times in stages.items()}
    gflop = network_gflop(segmenter, height, width)
    return Benchmark(
        model=segmenter.spec.name,
        height=height,
        width=width,
        device=str(segmenter.device),
        precision=segmenter.precision,
        threads=torch.get_num_threads(),
        repeats=repeats,
        milliseconds=medians,
        images_per_second=1000 / sum(medians.values()),
        network_gflop=gflop,
        peak_gflops=peak,
        share_of_peak=gflop / (medians["network"] / 1000) / peak,
        peak_memory=peak_memory(segmenter.device),
    )


@torch.inference_mode()
def peak_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """The best rate of a large matrix product, torch's own or the networks', in 10^9 operations a second."""
    best = 0.0
    for size in PEAK_SIZES:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        for product in (partial(torch.matmul, a, b), partial(linear, a, b, None)):
            seconds = min(_seconds(product, device) for _ in range(4))
            best = max(best, 2 * size**3 / seconds / 1e9)
    return best


def network_gflop(segmenter: Segmenter, height: int, width: int) -> float:
    """What the network computes for one image, in 10^9 operations: matrix products, convolutions and attention."""
    total = 0.0
    with torch.device("meta"):
        network = build_model(segmenter.spec).requires_grad_(False)
    for size in view_sizes(segmenter.spec, segmenter.config, height, width):
        pixels = torch.empty(1, 3, -(-size.height // 32) * 32, -(-size.width // 32) * 32, device="meta")
        with FlopCounterMode(display=False) as counter:
            network(pixels)
        total += counter.get_total_flops() / 1e9 * (2 if segmenter.config.flip else 1)
    return total


def peak_memory(device: torch.device) -> int:
    """The most memory held so far, in bytes: on a GPU its tensors, else the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
