"""A network in other engines, beside ours: the network alone, each engine in a process of its own, in turns.

    python -m benchmarks.cpu.engines --record benchmarks/records/engines.csv

The network, with the standard operators of `semask export`, is run by OpenVINO and by ONNX Runtime. Weights are random.
The fastest of the turns counts: of two that ran on a machine with other work to do, the slower one was disturbed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from semask_cli.inference.device import computing

SIDE = 512
TURNS = 7
CONTENDERS = (("semask", "fp32"), ("openvino", "fp32"), ("onnx", "fp32"), ("semask", "bf16"), ("openvino", "bf16"))


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=["swin-t-fpn"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--work", nargs=4, metavar=("MODEL", "ENGINE", "PRECISION", "FOLDER"), help="one contender")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.work:
        return work(*arguments.work, threads=arguments.threads)
    rows = []
    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            export(model, Path(folder))
            seconds = race(model, folder, arguments.threads)
        for engine, precision in CONTENDERS:
            ours = seconds["semask", precision]
            row = {
                "model": model,
                "engine": engine,
                "precision": precision,
                "size": f"{SIDE}x{SIDE}",
                "threads": arguments.threads,
                "seconds": f"{seconds[engine, precision]:.3f}",
                "ours_takes": f"{ours / seconds[engine, precision]:.2f}",
            }
            print(row, flush=True)
            rows.append(row)
        write_record(arguments.record, rows)
    return None


def export(model: str, folder: Path) -> None:
    """The network, from normalised pixels to what it ends in, in a file of each engine."""
    import openvino

    network = semask_cli.load(model, device="cpu", precision="fp32", random_weights=True).network
    program = torch.export.export(network.eval(), (torch.zeros(1, 3, SIDE, SIDE),))
    openvino.save_model(openvino.convert_model(program), folder / "network.xml", compress_to_fp16=False)
    torch.onnx.export(program, (), folder / "network.onnx", verbose=False)


def race(model: str, folder: str, threads: int) -> dict[tuple[str, str], float]:
    """The seconds of each contender's fastest pass."""
    command = [sys.executable, "-m", "benchmarks.cpu.engines", "--threads", str(threads), "--work", model]
    running = {
        contender: subprocess.Popen(
            [*command, *contender, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for contender in CONTENDERS
    }
    seconds = dict.fromkeys(CONTENDERS, float("inf"))
    for _ in range(TURNS):
        for contender, process in running.items():
            assert process.stdin
            assert process.stdout
            print(file=process.stdin, flush=True)
            seconds[contender] = min(seconds[contender], float(process.stdout.readline()))
    for process in running.values():
        process.communicate()
    return seconds


def work(model: str, engine: str, precision: str, folder: str, *, threads: int) -> None:
    """Print the seconds of a pass for each line that comes in."""
    run = _ours(model, precision) if engine == "semask" else _other(engine, precision, Path(folder), threads)
    run()
    for _ in sys.stdin:
        began = time.perf_counter()
        run()
        print(time.perf_counter() - began, flush=True)


def _ours(model: str, precision: str) -> Callable[[], object]:
    segmenter = semask_cli.load(model, device="cpu", precision=precision, random_weights=True)  # type: ignore[arg-type]
    pixels = torch.randn(1, 3, SIDE, SIDE).to(memory_format=torch.channels_last)

    def run() -> object:
        with torch.inference_mode(), computing(segmenter.precision, segmenter.device):
            return segmenter.network.predict(pixels)

    return run


def _other(engine: str, precision: str, folder: Path, threads: int) -> Callable[[], object]:
    pixels = np.random.default_rng(0).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)
    if engine == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(folder / "network.onnx", options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {session.get_inputs()[0].name: pixels})
    import openvino

    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    hints["INFERENCE_PRECISION_HINT"] = {"fp32": "f32", "bf16": "bf16"}[precision]
    request = openvino.Core().compile_model(folder / "network.xml", "CPU", hints).create_infer_request()
    return lambda: request.infer([pixels], share_inputs=True, share_outputs=True)


if __name__ == "__main__":
    main()
