"""What int8 changes in the bundled models: equal labels, and mIoU with its paired interval, on the sixty test scenes.

    python -m benchmarks.cpu.quantization --record benchmarks/records/quantization.csv

Their scales come with them, in `semask_cli/bundled/quantized`. With --calibrate they are made again first, on training
scenes, by `quantize_model`, as `semask quantize` does it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from semask_cli.datasets import classes, folder_dataset
from semask_cli.evaluation.differences import run_difference
from semask_cli.io.resources import project_file
from semask_cli.quantization.quantize_model import quantize_model
from semask_cli.quantization.store import scales_path
from toy_street import TEST_SEEDS, TRAIN_SEEDS, render, write_folders

MODELS = ("toy-street-fpn", "toy-street-m2f")
CALIBRATED_ON = TRAIN_SEEDS[:64]


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--calibrate", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.calibrate:
        _calibrate()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folders(folder, TEST_SEEDS[: arguments.scenes])
        dataset = folder_dataset(folder / "images", folder / "labels", classes("cityscapes"))
        for model in MODELS:
            runs = {
                precision: semask_cli.load(model, device="cpu", precision=precision) for precision in ("fp32", "int8")
            }
            places = {precision: folder / f"{model}-{precision}" for precision in runs}
            found = {
                precision: semask_cli.evaluate(
                    dataset, segmenter, journal=places[precision] / "journal", save_pred=places[precision] / "masks"
                )
                for precision, segmenter in runs.items()
            }
            difference = run_difference(("fp32", "int8"), found["fp32"], found["int8"], "mmseg").miou
            assert difference.interval
            rows.append(
                {
                    "model": model,
                    "scenes": arguments.scenes,
                    "equal_labels": f"{_equal(places['fp32'] / 'masks', places['int8'] / 'masks'):.5f}",
                    "miou_fp32": f"{found['fp32'].miou:.2f}",
                    "miou_int8": f"{found['int8'].miou:.2f}",
                    "difference": f"{difference.value:+.2f}",
                    "low": f"{difference.interval.low:+.2f}",
                    "high": f"{difference.interval.high:+.2f}",
                }
            )
            print(rows[-1], flush=True)
    write_record(arguments.record, rows)


def _calibrate() -> None:
    images = [render(seed).image for seed in CALIBRATED_ON]
    for model in MODELS:
        segmenter = semask_cli.load(model, device="cpu", precision="fp32")
        name = scales_path(segmenter.spec, segmenter.digest).name
        quantize_model(segmenter, images, output=project_file("bundled") / "quantized" / name)


def _equal(folder: Path, other: Path) -> float:
    """The part of equal labels in the masks of two folders."""
    same = [
        np.mean(np.asarray(Image.open(path)) == np.asarray(Image.open(other / path.relative_to(folder))))
        for path in sorted(folder.rglob("*.png"))
    ]
    return float(np.mean(same))


if __name__ == "__main__":
    main()
