"""Where the time of a network goes, by operator: ours by torch's profiler, OpenVINO's by its own counters.

    python -m benchmarks.cpu.operators --record benchmarks/records/operators.csv

The network alone at 512 x 512, on one thread, so that times add up; milliseconds of a pass, the mean of a few. What
takes less than a hundredth of the pass is left out. OpenVINO runs what `semask export` writes, and in int8 what NNCF
makes of that. Weights are random.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

import semask_cli
from benchmarks.cpu.engines import PRECISIONS, SIDE, export, openvino_request
from benchmarks.cpu.record import record_parser, write_record
from semask_cli.inference.device import ChosenPrecision, computing

WARM_UPS, PASSES = 2, 4
LEAST_SHARE = 0.01


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=["swin-t-fpn", "swin-l-fpn", "swin-l-m2f"])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--files", type=Path, help="as `benchmarks.cpu.engines` takes it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for model in arguments.models:
            folder = (arguments.files or Path(temporary)) / f"{model}-{SIDE}"
            export(model, folder, SIDE, int8="int8" in arguments.precisions)
            for precision in arguments.precisions:
                rows += _rows(model, "semask", precision, ours(model, precision))
                rows += _rows(model, "openvino", precision, openvino_s(folder, precision))
            write_record(arguments.record, rows, keys=("model",))


def _rows(model: str, engine: str, precision: str, spent: Counter[str]) -> list[dict[str, Any]]:
    whole = spent.total()
    rows = [
        {
            "model": model,
            "precision": precision,
            "engine": engine,
            "operator": operator,
            "milliseconds": f"{milliseconds:.1f}",
            "share": f"{milliseconds / whole:.3f}",
        }
        for operator, milliseconds in [("all", whole), *spent.most_common()]
        if milliseconds >= LEAST_SHARE * whole
    ]
    for row in rows:
        print(row, flush=True)
    return rows


@torch.inference_mode()
def ours(model: str, precision: ChosenPrecision) -> Counter[str]:
    """Milliseconds of a pass by torch's operators, each without what it calls."""
    network = semask_cli.load(model, device="cpu", precision=precision, random_weights=True).network
    pixels = torch.randn(1, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    with computing(precision, torch.device("cpu")):
        for _ in range(WARM_UPS):
            network.predict(pixels)
        with profile(activities=[ProfilerActivity.CPU]) as measured:
            for _ in range(PASSES):
                network.predict(pixels)
    return Counter({event.key: event.self_cpu_time_total / 1000 / PASSES for event in measured.key_averages()})


def openvino_s(folder: Path, precision: ChosenPrecision) -> Counter[str]:
    """Milliseconds of a pass by OpenVINO's operators and the kernels that it chose for them."""
    request = openvino_request(folder, precision, threads=1, counting=True)
    pixels = np.random.default_rng(0).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)
    spent: Counter[str] = Counter()
    for number in range(WARM_UPS + PASSES):
        request.infer([pixels])
        if number >= WARM_UPS:
            for node in request.profiling_info:
                spent[f"{node.node_type} ({node.exec_type})"] += node.real_time.total_seconds() * 1000 / PASSES
    return spent


if __name__ == "__main__":
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    main()
