"""The speed of a model on this machine: milliseconds by stage, memory, and the share of the peak FLOP/s."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from semask_cli.inference.device import computing, half_type
from semask_cli.inference.memory import process_peak
from semask_cli.inference.segmenter import Segmenter
from semask_cli.inference.sliding_window import window_grid
from semask_cli.inference.views import view_sizes
from semask_cli.models.build import build_model
from semask_cli.ops.linear import linear
from semask_cli.output.render import encode_mask

STAGES = ("decode", "resize", "network", "merge", "copy", "encode")
"""In order; stages that do not occur, such as the copy from a GPU, are left out."""

WARM_UPS = {"cuda": 4}  # images (elsewhere 1), while kernels are compiled and CUDA graphs captured
PEAK_SIZES = (2048, 4096)  # sides of the matrices whose product gives the peak


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Medians over `repeats` images of (height, width).

    `random_weights`: no checkpoint was loaded. `calibrated_on_noise`: the scales of int8 are those of noise.
    `milliseconds` is by stage, `images_per_second` by wall-clock time (GPU and host stages overlap). `network_gflop` is
    the work for one image, `peak_gflops` the best rate of this run, of large matrix products in the network's precision
    or of the network itself, and `share_of_peak` the network's share of it. `peak_memory` is in bytes, of the process
    or of the GPU.
    """

    model: str
    random_weights: bool
    height: int
    width: int
    device: str
    precision: str
    calibrated_on_noise: bool
    engine: str
    threads: int
    repeats: int
    milliseconds: dict[str, float]
    images_per_second: float
    network_gflop: float
    peak_gflops: float
    share_of_peak: float
    peak_memory: int


def run_benchmark(segmenter: Segmenter, *, height: int, width: int, repeats: int) -> Benchmark:
    """Segment a JPEG of (height, width) `repeats` times, after warm-up, and encode its mask."""
    image = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    image = cv2.resize(image, (width, height))  # smooth, as photographs are
    encoded = cv2.imencode(".jpg", image)[1].tobytes()
    dtype = half_type(segmenter.precision) or torch.float32
    with computing(segmenter.precision, segmenter.device):
        product_peak = peak_gflops(segmenter.device, dtype)
    warm_ups = WARM_UPS.get(segmenter.device.type, 1)
    images: list[dict[str, float]] = []
    seconds = []
    for _ in range(warm_ups + repeats):
        start = time.perf_counter()
        result = segmenter.predict(encoded)
        labelled = time.perf_counter()
        encode_mask(result.labels, result.palette, dataset=result.info.dataset, classes=result.classes)
        end = time.perf_counter()
        images.append({**result.info.milliseconds, "encode": 1000 * (end - labelled)})
        seconds.append(end - start)
    medians = {
        stage: statistics.median(image[stage] for image in images[warm_ups:]) for stage in STAGES if stage in images[-1]
    }
    gflop = network_gflop(segmenter, height, width)
    rate = gflop / (medians["network"] / 1000)
    peak = max(product_peak, rate)
    return Benchmark(
        model=segmenter.spec.name,
        random_weights=not segmenter.digest,
        height=height,
        width=width,
        device=str(segmenter.device),
        precision=segmenter.precision,
        calibrated_on_noise=segmenter.precision == "int8" and not segmenter.quantization,
        engine=segmenter.engine,
        threads=torch.get_num_threads(),
        repeats=repeats,
        milliseconds=medians,
        images_per_second=1 / statistics.median(seconds[warm_ups:]),
        network_gflop=gflop,
        peak_gflops=peak,
        share_of_peak=rate / peak,
        peak_memory=peak_memory(segmenter.device),
    )


@torch.inference_mode()
def peak_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """The best rate of a large matrix product, by torch or by `ops.linear`, in 10^9 operations per second."""
    best = 0.0
    for size in PEAK_SIZES:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        for product in (partial(torch.matmul, a, b), partial(linear, a, b, None)):
            seconds = min(_seconds(product, device) for _ in range(4))
            best = max(best, 2 * size**3 / seconds / 1e9)
    return best


def network_gflop(segmenter: Segmenter, height: int, width: int) -> float:
    """The network's work for one image in 10^9 operations: matrix products, convolutions and attention."""
    total = 0.0
    with torch.device("meta"):
        network = build_model(segmenter.spec).requires_grad_(False)
    for view in view_sizes(segmenter.spec, segmenter.config, height, width):
        size, count = (view.height, view.width), 1
        if segmenter.config.mode == "slide":
            grid = window_grid(*size, segmenter.config)
            size = (grid[0][0][0].stop, grid[0][0][1].stop)  # all windows have that of the first
            count = len(grid) * len(grid[0])
        with FlopCounterMode(display=False) as counter:
            network(network.padded(torch.empty(1, 3, *size, device="meta")))
        total += counter.get_total_flops() / 1e9 * count * (2 if segmenter.config.flip else 1)
    return total


def peak_memory(device: torch.device) -> int:
    """The peak memory so far, in bytes: of the tensors on a GPU, otherwise of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return process_peak()


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
