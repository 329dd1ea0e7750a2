"""What smoothing over time does: labels that flicker, and what it costs in mIoU, on videos whose labels are known.

    python -m benchmarks.cpu.flicker --record benchmarks/records/flicker.csv

The toy street stands still, or moves by two pixels a frame, with a sensor's noise and compressed as a camera does it. A
label flickers where it differs from the last frame's at a pixel whose true label does not.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from benchmarks.cpu.video import FRAMES, SCENE_FRAMES, moved, write_drive
from semask_cli.evaluation.metrics import class_totals, confusion, metrics
from semask_cli.inference.segmenter import Segmenter
from semask_cli.inference.smoothing import Smoothing
from semask_cli.output.segmentation import Segmentation
from semask_cli.video.reading import FrameRange, frames
from toy_street import render

WEIGHTS = (0.0, 0.3, 0.5, 0.7)
SPEEDS = (0, 2)  # pixels a frame
NOISE = 6  # of 255


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=["toy-street-fpn", "toy-street-m2f"])
    parser.add_argument("--frames", type=int, default=FRAMES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    truth = [render(seed).labels for seed in range(-(-arguments.frames // SCENE_FRAMES))]
    rows = []
    for speed in SPEEDS:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "drive.mp4"
            write_drive(source, speed=speed, noise=NOISE)
            for model in arguments.models:
                segmenter = semask_cli.load(model, device="cpu", precision="fp32")
                for weight in WEIGHTS:
                    labels = predicted(segmenter, source, arguments.frames, weight)
                    true = [moved(truth, number, speed=speed) for number in range(len(labels))]
                    flickering, miou = figures(labels, true)
                    rows.append(
                        {
                            "model": model,
                            "frames": arguments.frames,
                            "pixels_a_frame": speed,
                            "weight": weight,
                            "flickering_percent": f"{flickering:.2f}",
                            "miou": f"{miou:.2f}",
                        }
                    )
                    print(rows[-1], flush=True)
    write_record(arguments.record, rows)


def predicted(segmenter: Segmenter, video: Path, count: int, weight: float) -> list[NDArray[np.uint8]]:
    """The labels of the first `count` frames."""
    images = (frame.image for frame in frames(str(video), FrameRange(stop=count)))
    results = segmenter.predict_each(images, smoothing=Smoothing(weight) if weight else None)
    return [result.labels for result in results if isinstance(result, Segmentation)]


def figures(labels: list[NDArray[np.uint8]], true: list[NDArray[np.uint8]]) -> tuple[float, float]:
    """The share of labels that flicker, and mIoU, in percent."""
    still = flickered = 0
    for number in range(1, len(labels)):
        if number % SCENE_FRAMES:  # else another scene begins
            same = (true[number] == true[number - 1]) & (true[number] != 255)
            still += np.count_nonzero(same)
            flickered += np.count_nonzero(same & (labels[number] != labels[number - 1]))
    counts = sum(confusion(one, other, 19) for one, other in zip(true, labels, strict=True))
    return 100 * flickered / still, metrics(class_totals(counts), "mmseg").miou


if __name__ == "__main__":
    main()
