"""The file formats of other engines: writing a graph, and running it for comparison. Engines are imported on use."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from semask_cli.inference.openvino import convert_to_openvino, quiet
from semask_cli.io.extras import import_extra

Format = Literal["onnx", "openvino", "torch-export"]

FORMATS: tuple[Format, ...] = get_args(Format)

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Images (B, 3, H, W) to scores (B, classes, H, W)."""

INPUT, OUTPUT = "image", "scores"
OPSET = 18  # TensorRT computes the GridSample of opset 20 wrongly (github.com/NVIDIA/TensorRT/issues/4646)


def _engine(name: str) -> ModuleType:
    return import_extra(name, extra="export", purpose="this format")


def _write_onnx(program: ExportedProgram, path: Path, about: Mapping[str, Any]) -> None:
    _engine("onnxscript")  # used by torch's exporter
    with quiet():
        exported = torch.onnx.export(
            program, (), input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET, dynamo=True, verbose=False
        )
        assert exported is not None
        exported.model.metadata_props.update({key: _text(value) for key, value in about.items()})
        exported.save(path)


def _run_onnx(path: Path) -> Run:
    session = _engine("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]


def _write_openvino(program: ExportedProgram, path: Path, about: Mapping[str, Any]) -> None:
    openvino = _engine("openvino")
    model = convert_to_openvino(program)
    model.input(0).set_names({INPUT})
    model.output(0).set_names({OUTPUT})
    for key, value in about.items():
        model.set_rt_info(_text(value), ["semask", key])
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # without a reason
        raise OSError(errno.EIO, "OpenVINO could not write all of it; is the disk full?") from error


def _run_openvino(path: Path) -> Run:
    compiled = _engine("openvino").compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: compiled({INPUT: images})[OUTPUT]


def _write_torch_export(program: ExportedProgram, path: Path, about: Mapping[str, Any]) -> None:
    content = io.BytesIO()  # writing to a full disk, torch's C++ would abort the process
    torch.export.save(program, content, extra_files={"semask.json": json.dumps(about)})
    path.write_bytes(content.getbuffer())


@torch.no_grad()
def _torch_export_scores(module: torch.nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    return module(torch.from_numpy(images)).numpy()


def _run_torch_export(path: Path) -> Run:
    module = torch.export.load(path).module()
    return lambda images: _torch_export_scores(module, images)


@dataclass(frozen=True, slots=True)
class Engine:
    """How a format is written and run. `write` takes a graph, a path and metadata.

    `packages` are needed by the script beside the file, `load` is its code that defines `run` from PATH.
    """

    ending: str
    write: Callable[[ExportedProgram, Path, Mapping[str, Any]], None]
    run: Callable[[Path], Run]
    packages: str
    load: str


ENGINES: Mapping[Format, Engine] = {
    "onnx": Engine(
        ".onnx",
        _write_onnx,
        _run_onnx,
        "onnxruntime",
        "import onnxruntime\n\nsession = onnxruntime.InferenceSession(PATH)\n"
        'run = lambda image: session.run(["scores"], {"image": image})[0]',
    ),
    "openvino": Engine(
        ".xml",
        _write_openvino,
        _run_openvino,
        "openvino",
        "import openvino\n\n"
        "# By default it computes in bf16 on CPUs that support it: faster, but not the same.\n"
        'compiled = openvino.compile_model(PATH, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})\n'
        'run = lambda image: compiled({"image": image})["scores"]',
    ),
    "torch-export": Engine(
        ".pt2",
        _write_torch_export,
        _run_torch_export,
        "torch",
        "import torch\n\nmodule = torch.export.load(PATH).module()\n"
        "run = lambda image: module(torch.from_numpy(image)).detach().numpy()",
    ),
}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
