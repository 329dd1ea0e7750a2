"""`evaluate` end to end, plain and with everything on: the network's share of the wall time, and memory.

    python -m benchmarks.cpu.evaluation --threads 2 --record benchmarks/records/evaluation.csv

Rendered streets are evaluated with a network of random weights, plain and with boundaries and calibration; the
network's seconds are those that its layers took. Then masks are scored, of ever more images of one size, for the
memory, and of 5,000 small ones, since what is kept of an image does not depend on its size. A folder holds so many
links to the same few files.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import torch

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from semask_cli.datasets import classes, folder_dataset
from toy_street import TEST_SEEDS, render

MODEL = "swin-t-fpn-cityscapes"
IMAGES, SIZE, SMALL = 4, (2048, 1024), (128, 64)


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--counts", type=int, nargs="+", default=[20, 100, 400], help="images whose masks are scored")
    parser.add_argument("--score", nargs=2, metavar=("FOLDER", "COUNT"), help="in a process of its own: score masks")
    arguments = parser.parse_args()
    if arguments.score:
        return score(Path(arguments.score[0]), int(arguments.score[1]))
    torch.set_num_threads(arguments.threads)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder, small = Path(name) / "large", Path(name) / "small"
        write(folder, SIZE)
        write(small, SMALL)
        for what, options in (("plain", {}), ("everything on", {"boundaries": True, "calibration": True})):
            row = {"case": f"{MODEL}, {what}", "images": IMAGES, "size": "{} x {}".format(*SIZE)}
            rows.append({**row, **predict(folder, options)})
            print(rows[-1])
        cases = [(folder, SIZE, count) for count in arguments.counts] + [(small, SMALL, count) for count in (500, 5000)]
        for place, size, count in cases:
            command = [sys.executable, "-m", "benchmarks.cpu.evaluation", "--score", str(place), str(count)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, mebibytes = done.stdout.split()
            row = {"case": "masks scored, boundaries on", "images": count, "size": "{} x {}".format(*size)}
            rows.append({**row, "wall_seconds": seconds, "network_share": "", "peak_mib": mebibytes})
            print(rows[-1])
    write_record(arguments.record, [{**row, "threads": arguments.threads} for row in rows])
    return None


def write(folder: Path, size: tuple[int, int]) -> None:
    """A few scenes of a size, with their labels."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for seed in TEST_SEEDS[:IMAGES]:
        scene = render(seed)
        image = cv2.resize(scene.image, size, interpolation=cv2.INTER_CUBIC)
        labels = cv2.resize(scene.labels, size, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / "images" / f"{seed}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / "labels" / f"{seed}.png"), labels)


def predict(folder: Path, options: dict[str, bool]) -> dict[str, str]:
    """Wall seconds, and the network's share of them."""
    segmenter = semask_cli.load(MODEL, device="cpu", random_weights=True)
    segmenter.predict(next((folder / "images").iterdir()))  # warms up
    spent = 0.0
    forward = segmenter.network.predict

    def timed(*inputs: torch.Tensor) -> object:
        nonlocal spent
        begun = time.perf_counter()
        try:
            return forward(*inputs)
        finally:
            spent += time.perf_counter() - begun

    segmenter.network.predict = timed  # type: ignore[assignment]
    dataset = folder_dataset(folder / "images", folder / "labels", classes("cityscapes"))
    begun = time.perf_counter()
    semask_cli.evaluate(dataset, segmenter, journal=folder / f"journal-{len(options)}", **options)  # type: ignore[arg-type]
    wall = time.perf_counter() - begun
    return {
        "wall_seconds": f"{wall:.2f}",
        "network_share": f"{spent / wall:.3f}",
        "peak_mib": f"{peak_mebibytes():.0f}",
    }


def peak_mebibytes() -> float:
    """The largest memory of this process: not that of the one that started it, which ru_maxrss has."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def score(folder: Path, count: int) -> None:
    """Evaluate labels as masks of `count` images, and print the seconds and the peak in MiB."""
    many = folder / f"many-{count}"
    files = {kind: sorted((folder / kind).iterdir()) for kind in ("images", "labels")}
    for kind, sources in files.items():
        (many / kind).mkdir(parents=True)
        for number in range(count):
            (many / kind / f"{number:05}.png").hardlink_to(sources[number % len(sources)])
    dataset = folder_dataset(many / "images", many / "labels", classes("cityscapes"))
    begun = time.perf_counter()
    semask_cli.evaluate(dataset, many / "labels", journal=many / "journal", boundaries=True)
    print(f"{time.perf_counter() - begun:.1f} {peak_mebibytes():.0f}")


if __name__ == "__main__":
    main()
