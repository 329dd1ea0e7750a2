"""What share of the machine's matrix product the networks reach, alone, at 512 x 512 in float32.

    python benchmarks/networks.py --threads 2 --record benchmarks/records/networks.csv

The share counts the operations of the published formulation, by torch's FlopCounterMode, so that what semask spares
shows as speed: 100 % is the published network at the speed of the best large matrix product of the same run.
"""

from __future__ import annotations

import time

import torch

import semask_cli
from record import record_parser, write_record
from semask_cli.benchmark import peak_gflops
from semask_cli.inference.memory import reuse_freed_memory

# 10^9 operations of the published code for a picture of 512 x 512.
PUBLISHED = {"swin-t-fpn": 83, "swin-s-fpn": 131, "swin-l-fpn": 470, "swin-l-mf": 495, "swin-l-m2f": 526}
REPEATS = 5


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    reuse_freed_memory()
    rows = []
    for name, gflop in PUBLISHED.items():
        peak = peak_gflops(torch.device("cpu"), torch.float32)
        seconds = network_seconds(name)
        rows.append({
            "model": name,
            "threads": arguments.threads,
            "seconds": f"{seconds:.3f}",
            "published_gflop": gflop,
            "peak_gflops": f"{peak:.0f}",
            "share_of_peak": f"{gflop / seconds / peak:.3f}",
        })  # fmt: skip
        print(rows[-1])
    write_record(arguments.record, rows)


@torch.inference_mode()
def network_seconds(name: str) -> float:
    """The fastest of a few passes, after one that warms up."""
    network = semask_cli.build_model(name).requires_grad_(False)
    pixels = torch.randn(1, 3, 512, 512).to(memory_format=torch.channels_last)
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        network.predict(pixels)
        times.append(time.perf_counter() - start)
    return min(times[1:])


if __name__ == "__main__":
    main()
