"""Whether every size of image is as fast as the one that is measured elsewhere, and memory beside another revision.

    git worktree add ../before d970d86
    python -m benchmarks.cpu.sizes --beside ../before --record benchmarks/records/sizes.csv

The network's part of `predict` at an image's own size, in a process for each size, after images of 512 x 512. The first
image of a size makes what later ones keep: tables of windows, code of kernels. Later ones take turns with images of
512 x 512: `per_pixel` is how many times as long a pixel takes, by the fastest turns of both, and `work` how many times
as much the network computes for it, which grows with padding and with global attention. Peak memory is the whole
process's. Weights are random.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

MODEL = "swin-t-fpn"
USUAL = (512, 512)
SIZES = ((512, 512), (224, 224), (509, 509), (640, 853), (333, 1021), (256, 2048), (1024, 1024))
PRECISIONS = ("fp32", "bf16", "int8")
TURNS = 7


def main() -> None:
    from benchmarks.cpu.record import record_parser, write_record

    parser = record_parser(__doc__)
    parser.add_argument("--beside", type=Path, help="a checkout of the revision whose memory is compared")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rows = []
    for precision in arguments.precisions:
        for height, width in SIZES:
            here = _measured(Path(__file__).parents[2], arguments.threads, precision, height, width, TURNS)
            row: dict[str, Any] = {
                "model": MODEL,
                "precision": precision,
                "size": f"{width}x{height}",
                "threads": arguments.threads,
                "first": f"{here['first']:.3f}",
                "later": f"{here['later']:.3f}",
                "per_pixel": f"{here['per_pixel']:.2f}",
                "work": f"{_operations(height, width) / _operations(*USUAL):.2f}",
                "peak_gib": f"{here['peak'] / 2**30:.2f}",
                "beside_peak_gib": "",
            }
            if arguments.beside and precision != "int8":  # which is new
                beside = _measured(arguments.beside.resolve(), arguments.threads, precision, height, width, 1)
                row["beside_peak_gib"] = f"{beside['peak'] / 2**30:.2f}"
            print(row, flush=True)
            rows.append(row)
    write_record(arguments.record, rows, keys=("precision",))


def _operations(height: int, width: int) -> float:
    """Of the network for a pixel of an image of this size: products, convolutions and attention."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from semask_cli.models.build import build_model
    from semask_cli.zoo import load_zoo

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_model(load_zoo().find(MODEL)).requires_grad_(False)(torch.empty(1, 3, height, width))
    return counter.get_total_flops() / height / width


def _measured(root: Path, threads: int, *work: object) -> dict[str, float]:
    """What the revision in `root` does."""
    from benchmarks.cpu.turns import run_in

    measured: dict[str, float] = run_in(root, __file__, "run", threads, *work)
    return measured


def _run(threads: str, precision: Any, height: str, width: str, turns: str) -> None:
    """In the process that is measured: knows only what both revisions have."""
    import numpy as np
    import torch

    import semask_cli

    torch.set_num_threads(int(threads))
    segmenter = semask_cli.load(MODEL, device="cpu", precision=precision, scales="native", random_weights=True)
    random = np.random.default_rng(0)
    usual, size = (random.integers(0, 256, (*sides, 3), np.uint8) for sides in (USUAL, (int(height), int(width))))

    def seconds(image: Any) -> float:
        return float(segmenter.predict(image).info.milliseconds["network"]) / 1000

    for _ in range(3):
        seconds(usual)
    first = seconds(size)
    turns_of_both = [(seconds(usual), seconds(size)) for _ in range(int(turns))]
    fastest_usual, later = (min(times) for times in zip(*turns_of_both, strict=True))
    per_pixel = later / fastest_usual * usual.size / size.size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"first": first, "later": later, "per_pixel": per_pixel, "peak": peak}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        _run(*sys.argv[2:])
    else:
        main()
