"""Peak memory of large images: semask's engine beside the plain formulation, on this machine.

    python -m benchmarks.cpu.memory --record benchmarks/records/memory.csv

Each case is a process of its own; its peak is that of the whole process: libraries, weights, and the image
itself (3 bytes a pixel) too. Weights are random. "native" slides windows over the image at its own resolution;
there the network looks at two windows, and copies of its answers stand for the others: a thousand windows take
many minutes, and need no more memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np

from benchmarks.cpu.record import record_parser, write_record

CASES = {
    "slide at the test size, 12000 x 9000": (9000, 12000, None),
    "slide at the test size, 16384 x 16384": (16384, 16384, None),
    "slide native, 12000 x 9000": (9000, 12000, "native"),
    "slide native, 16384 x 16384": (16384, 16384, "native"),
}


def work(case: str) -> None:
    """Segment one image, and print seconds, peak bytes, and the peak before the image."""
    import torch

    import semask_cli
    from semask_cli.machine.benchmark import peak_memory

    torch.set_num_threads(2)
    height, width, scales = CASES[case]
    segmenter = semask_cli.load("swin-t-fpn", random_weights=True, device="cpu", mode="slide", scales=scales)
    if scales == "native":
        repeat_after_two_windows(segmenter)
    before = peak_memory(segmenter.device)
    image = np.random.default_rng(0).integers(0, 256, (height // 64 + 1, width // 64 + 1, 3), np.uint8)
    image = np.ascontiguousarray(image.repeat(64, 0).repeat(64, 1)[:height, :width])
    start = time.perf_counter()
    labels = segmenter.predict(image).labels
    assert labels.shape == (height, width)
    print(json.dumps([time.perf_counter() - start, peak_memory(segmenter.device), before]))


def repeat_after_two_windows(segmenter: object) -> None:
    """Have the network answer twice, and copies of its answers stand for the other windows."""
    import dataclasses

    network = segmenter.network  # type: ignore[attr-defined]
    answer, seen = network.predict, []

    def predict(pixels: object) -> list[object]:
        if len(seen) < 2:
            seen.extend(answer(pixels))
        return [dataclasses.replace(seen[-1], logits=seen[-1].logits.clone())]

    network.predict = predict


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--work", choices=list(CASES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work)
        return
    rows = []
    for case, (height, width, _) in CASES.items():
        finished = subprocess.run(
            [sys.executable, "-m", "benchmarks.cpu.memory", "--work", case], check=True, capture_output=True, text=True
        )
        seconds, most, before = json.loads(finished.stdout)
        rows.append({
            "case": case,
            "seconds": f"{seconds:.1f}",
            "peak_gib": f"{most / 2**30:.2f}",
            "beyond_libraries_and_weights_gib": f"{(most - before) / 2**30:.2f}",
            "full_size_logits_would_be_gib": f"{4 * 150 * height * width / 2**30:.0f}",
        })  # fmt: skip
        print(rows[-1])
    write_record(arguments.record, rows)


if __name__ == "__main__":
    main()
