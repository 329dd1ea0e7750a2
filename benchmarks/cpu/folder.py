"""A folder of images, end to end: which share of the wall time is the network's.

    python -m benchmarks.cpu.folder --threads 2 --record benchmarks/records/folder.csv

Twenty JPEGs of 1500 x 1000 (rendered streets) are decoded, segmented and written as mask PNGs, by the API's
`predict_each` with a thread that writes. Weights are random; a trained network is surer, and merging then takes less.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import torch

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from toy_street import TEST_SEEDS, render

MODEL = "swin-t-fpn"
IMAGES, WIDTH, HEIGHT = 20, 1500, 1000


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    segmenter = semask_cli.load(MODEL, device="cpu", random_weights=True)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as writer:
        folder = Path(name)
        images = [folder / f"{seed}.jpg" for seed in TEST_SEEDS[:IMAGES]]
        for image in images:
            scene = cv2.resize(render(int(image.stem)).image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(image), scene[..., ::-1])
        segmenter.predict(images[0])  # warms up
        spent: Counter[str] = Counter()
        start = time.perf_counter()
        for image, result in zip(images, segmenter.predict_each(images), strict=True):
            assert isinstance(result, semask_cli.Segmentation)
            writer.submit(result.save, image.with_suffix(".png"))
            spent.update(result.info.milliseconds)
        writer.shutdown()
        wall = time.perf_counter() - start
    row = {
        "model": MODEL,
        "images": IMAGES,
        "size": f"{WIDTH} x {HEIGHT}",
        "threads": arguments.threads,
        "wall_seconds": f"{wall:.2f}",
        **{f"{stage}_seconds": f"{milliseconds / 1000:.2f}" for stage, milliseconds in spent.items()},
        "network_share_of_wall": f"{spent['network'] / 1000 / wall:.3f}",
    }
    print(row)
    write_record(arguments.record, [row])


if __name__ == "__main__":
    main()
