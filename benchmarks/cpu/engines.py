"""A network in other engines, beside ours: the network alone, each engine in a process of its own, in turns.

    python -m benchmarks.cpu.engines --record benchmarks/records/engines.csv

The network as `semask export` traces it is run by OpenVINO and by ONNX Runtime, and compiled by torch.compile, which
needs a C++ compiler. int8 is NNCF's in OpenVINO, in its mode for transformers, and beside it that of `semask quantize`,
both with bf16 around. Weights, and the images that are calibrated on, are random. Contenders of one precision take
turns, so that no more of them are in memory. The fastest of the turns counts: of two that ran on a machine with other
work to do, the slower one was disturbed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from benchmarks.cpu.turns import answer, take_turns
from semask_cli.inference.device import ChosenPrecision, computing
from semask_cli.inference.openvino import convert_to_openvino, quiet

SIDE = 512
TURNS = 7
CALIBRATED_ON = 4  # images
CONTENDERS = (
    *("semask fp32", "openvino fp32", "onnxruntime fp32", "torch.compile fp32"),
    *("semask bf16", "openvino bf16", "torch.compile bf16"),
    *("semask int8", "openvino int8"),
)
PRECISIONS: tuple[ChosenPrecision, ...] = ("fp32", "bf16", "int8")
PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch.compile": "torch", "semask": "semask"}


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=["swin-t-fpn"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--side", type=int, default=SIDE, help="of the image, in pixels")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS, metavar="NAME")
    parser.add_argument(
        "--files", type=Path, help="where the engines' files are kept; they are made unless they are there"
    )
    parser.add_argument("--prepare", action="store_true", help="make the files, and measure nothing")
    parser.add_argument("--work", nargs=3, metavar=("MODEL", "CONTENDER", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.work:
        model, contender, folder = arguments.work
        return answer(contender_run(model, contender, Path(folder), arguments.side, threads=arguments.threads))
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for model in arguments.models:
            folder = (arguments.files or Path(temporary)) / f"{model}-{arguments.side}"
            export(model, folder, arguments.side, int8="openvino int8" in arguments.contenders)
            if arguments.prepare:
                continue
            command = [
                sys.executable,
                "-m",
                "benchmarks.cpu.engines",
                *("--threads", str(arguments.threads), "--side", str(arguments.side)),
                "--work",
                model,
            ]
            fastest: dict[str, float] = {}
            for precision in PRECISIONS:
                names = [name for name in arguments.contenders if name.endswith(precision)]
                found = take_turns({name: [*command, name, str(folder)] for name in names}, turns=TURNS)
                fastest |= {name: min(measured.seconds) for name, measured in found.items()}
            for name, seconds in fastest.items():
                engine, precision = name.split()
                row = {
                    "model": model,
                    "precision": precision,
                    "engine": engine,
                    "size": f"{arguments.side}x{arguments.side}",
                    "threads": arguments.threads,
                    "seconds": f"{seconds:.3f}",
                    "ours_takes": f"{fastest[f'semask {precision}'] / seconds:.2f}",
                    "engine_version": "" if engine == "semask" else version(PACKAGES[engine]),
                }
                print(row, flush=True)
                rows.append(row)
    if rows:
        write_record(arguments.record, rows, keys=("model", "size", "precision"))
    return None


def export(model: str, folder: Path, side: int, *, int8: bool = False) -> None:
    """The network, from normalised pixels to what it ends in, in a file of each engine, if it is not in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "network.xml"
    if not path.exists():
        import openvino

        network = semask_cli.load(model, device="cpu", precision="fp32", random_weights=True).network
        program = torch.export.export(network, (torch.zeros(1, 3, side, side),))
        with quiet():
            torch.onnx.export(program, (), folder / "network.onnx", verbose=False)
        openvino.save_model(convert_to_openvino(program), path, compress_to_fp16=False)
    if int8 and not (folder / "int8.xml").exists():
        import nncf
        import openvino

        quantized = nncf.quantize(
            openvino.Core().read_model(path),
            nncf.Dataset([pixels.numpy() for pixels in _pixels(CALIBRATED_ON, side)]),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=CALIBRATED_ON,
        )
        openvino.save_model(quantized, folder / "int8.xml", compress_to_fp16=False)


def contender_run(model: str, contender: str, folder: Path, side: int, *, threads: int) -> Callable[[], object]:
    """A pass, to be called again and again."""
    engine, precision = contender.split()
    [pixels] = _pixels(1, side)
    if engine == "onnxruntime":
        return _onnx_run(folder / "network.onnx", pixels.numpy(), threads)
    if engine == "openvino":
        return _openvino_run(folder, precision, pixels.numpy(), threads)
    network = semask_cli.load(model, device="cpu", precision=precision, random_weights=True).network  # type: ignore[arg-type]
    run = torch.compile(network) if engine == "torch.compile" else network
    images = pixels.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def one_pass() -> object:
        with computing(precision, torch.device("cpu")):  # type: ignore[arg-type]
            return run(images)

    return one_pass


def _onnx_run(path: Path, pixels: NDArray[np.float32], threads: int) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {session.get_inputs()[0].name: pixels})


def _openvino_run(folder: Path, precision: str, pixels: NDArray[np.float32], threads: int) -> Callable[[], object]:
    request = openvino_request(folder, precision, threads=threads)
    return lambda: request.infer([pixels], share_inputs=True, share_outputs=True)


def openvino_request(folder: Path, precision: str, *, threads: int, counting: bool = False) -> Any:
    """What infers, of the files that `export` wrote; with `counting`, OpenVINO notes the time of each operator."""
    import openvino

    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": counting}
    hints["INFERENCE_PRECISION_HINT"] = "f32" if precision == "fp32" else "bf16"
    path = folder / ("int8.xml" if precision == "int8" else "network.xml")
    return openvino.Core().compile_model(path, "CPU", hints).create_infer_request()


def _pixels(count: int, side: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        yield torch.randn(1, 3, side, side, generator=generator)


if __name__ == "__main__":
    main()
