"""What share of the machine's matrix product the networks reach, alone, at 512 x 512.

    python -m benchmarks.cpu.networks --threads 2 --record benchmarks/records/networks.csv

With --bf16 in bfloat16 too, which needs a CPU with AVX512-BF16 or AMX; passes of both precisions take turns.

The share counts the operations of the published formulation, by torch's FlopCounterMode, so that what semask saves
shows as speed: 100 % is the published network at the speed of the best large matrix product of the same run.
"""

from __future__ import annotations

import time

import torch

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from semask_cli.inference.device import ChosenPrecision, cast_matmul_weights_, computing
from semask_cli.inference.memory import reuse_freed_memory
from semask_cli.machine.benchmark import peak_gflops

# 10^9 operations of the published code for an image of 512 x 512.
PUBLISHED = {"swin-t-fpn": 83, "swin-s-fpn": 131, "swin-l-fpn": 470, "swin-l-mf": 495, "swin-l-m2f": 526}
WARM_UPS, REPEATS = 3, 5
CPU = torch.device("cpu")


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    reuse_freed_memory()
    rows = []
    for name, gflop in PUBLISHED.items():
        seconds = network_seconds(name, ["fp32", "bf16"] if arguments.bf16 else ["fp32"])
        for precision, fastest in seconds.items():
            peak = peak_gflops(CPU, torch.bfloat16 if precision == "bf16" else torch.float32)
            rows.append({
                "model": name,
                "precision": precision,
                "threads": arguments.threads,
                "seconds": f"{fastest:.3f}",
                "published_gflop": gflop,
                "peak_gflops": f"{peak:.0f}",
                "share_of_peak": f"{gflop / fastest / peak:.3f}",
                "times_as_fast_as_fp32": f"{seconds['fp32'] / fastest:.2f}" if precision == "bf16" else "",
            })  # fmt: skip
            print(rows[-1])
    write_record(arguments.record, rows)


@torch.inference_mode()
def network_seconds(name: str, precisions: list[ChosenPrecision]) -> dict[ChosenPrecision, float]:
    """The fastest pass in each precision, after a few that warm up."""
    networks = {precision: semask_cli.build_model(name).requires_grad_(False) for precision in precisions}
    for precision, network in networks.items():
        network.prepare_for_cpu_()
        cast_matmul_weights_(network, precision)
    pixels = torch.randn(1, 3, 512, 512).to(memory_format=torch.channels_last)
    times: dict[ChosenPrecision, list[float]] = {precision: [] for precision in precisions}
    for _ in range(WARM_UPS + REPEATS):
        for precision, network in networks.items():
            start = time.perf_counter()
            with computing(precision, CPU):
                network.predict(pixels)
            times[precision].append(time.perf_counter() - start)
    return {precision: min(spent[WARM_UPS:]) for precision, spent in times.items()}


if __name__ == "__main__":
    main()
