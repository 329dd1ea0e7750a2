"""A folder of images, end to end: several of them at a time, as `semask predict` does, beside one at a time, in turns.

    GOMP_SPINCOUNT=10000 OPENBLAS_NUM_THREADS=1 python -m benchmarks.cpu.folder --record benchmarks/records/folder.csv

JPEGs of 1500 x 1000 (rendered streets) are decoded, segmented and written as mask PNGs. With --busy beside a program
that keeps a core busy. The variables are those that the command line sets.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import cv2
import torch

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from toy_street import TEST_SEEDS, render

MODEL = "swin-t-fpn"
IMAGES, WIDTH, HEIGHT, TURNS = 20, 1500, 1000, 3


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--busy", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    segmenter = semask_cli.load(arguments.model, device="cpu", random_weights=arguments.model.startswith("swin"))
    seconds: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        images = [Path(name, f"{seed}.jpg") for seed in TEST_SEEDS[:IMAGES]]
        for image in images:
            scene = cv2.resize(render(int(image.stem)).image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(image), scene[..., ::-1])
        if arguments.busy:
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(busy.kill)
        for _ in range(1 + TURNS):  # the first warms up
            for alone in seconds:
                start = time.perf_counter()
                list(segmenter.process(images, open_item=Path, finish=_write, alone=alone))
                seconds[alone].append(time.perf_counter() - start)
    several, alone = (statistics.median(times[1:]) for times in seconds.values())
    row = {
        "model": arguments.model,
        "images": IMAGES,
        "size": f"{WIDTH} x {HEIGHT}",
        "threads": arguments.threads,
        "beside_a_busy_program": arguments.busy,
        "several_at_a_time_seconds": f"{several:.2f}",
        "one_at_a_time_seconds": f"{alone:.2f}",
        "ratio": f"{several / alone:.2f}",
    }
    print(row)
    write_record(arguments.record, [row])


def _write(image: Path, result: semask_cli.Segmentation | semask_cli.SemaskError) -> None:
    assert isinstance(result, semask_cli.Segmentation)
    result.save(image.with_suffix(".png"))


if __name__ == "__main__":
    main()
