"""Running a network in OpenVINO on a CPU, with a compiled graph for each input size."""

from __future__ import annotations

import io
import logging
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from threading import Lock
from typing import Any, get_args

import torch
from torch import Tensor
from torch.export import ExportedProgram, export
from torch.utils._pytree import tree_unflatten

from semask_cli.errors import DeviceError, UsageError
from semask_cli.inference.config import Engine
from semask_cli.inference.device import ChosenPrecision
from semask_cli.io.extras import import_extra
from semask_cli.models.network import Network
from semask_cli.models.prediction import Prediction
from semask_cli.ops.cpu import multiplies_bf16

log = logging.getLogger(__name__)

MAX_SIZES = 8
HINTS: dict[ChosenPrecision, str] = {"fp32": "f32", "bf16": "bf16"}


def check_engine(engine: Engine, device: torch.device, precision: ChosenPrecision) -> None:
    """Check that `engine` supports the device and precision.

    Raises:
        DeviceError: it does not.
        UsageError: the engine is unknown or not installed.
    """
    if engine not in get_args(Engine):
        raise UsageError(f"engine {engine!r} is none of {', '.join(get_args(Engine))}")
    if engine == "torch":
        return
    if device.type != "cpu":
        raise DeviceError(f"OpenVINO runs only on the CPU, not on {device}", "Use --device cpu or --engine torch.")
    if precision not in HINTS:
        raise DeviceError(f"--engine openvino does not support {precision}", "Use --precision fp32 or bf16.")
    if precision == "bf16" and not multiplies_bf16():
        raise DeviceError("this processor does not support bf16", "Use --precision fp32.")
    import_extra("openvino", extra="export", purpose="--engine openvino")


class OpenVINO:
    """`network.predict`, run by OpenVINO. Threads may share it.

    Each size of padded pixels is compiled on first use, so that labels do not depend on earlier images. This takes
    longer than a pass (tens of seconds for a large network), and memory for another copy of the weights of `network`,
    which must be float32. The `MAX_SIZES` last used sizes are kept.
    """

    def __init__(self, network: Network, precision: ChosenPrecision) -> None:
        self.network = network
        self._precision = precision
        self._compiled: OrderedDict[torch.Size, _Compiled] = OrderedDict()  # least recently used first
        self._lock = Lock()  # a compiled network has one input and one output

    def __reduce__(self) -> tuple[type[OpenVINO], tuple[Network, ChosenPrecision]]:
        return type(self), (self.network, self._precision)  # a copy compiles its own

    def predict(self, pixels: Tensor) -> list[Prediction]:
        """As `Network.predict`, for pixels (B, 3, H, W) on the CPU.

        Raises:
            DeviceError: OpenVINO cannot run the network at this size.
        """
        padded = self.network.padded(pixels)
        with self._lock:
            if padded.shape not in self._compiled:
                self._compile(padded.shape)
            self._compiled.move_to_end(padded.shape)
            outputs = self._compiled[padded.shape].outputs(padded)
        return self.network.predictions(outputs, (pixels.shape[2], pixels.shape[3]))

    def clear(self) -> None:
        """Free the memory."""
        with self._lock:
            self._compiled.clear()

    def _compile(self, shape: torch.Size) -> None:
        if len(self._compiled) == MAX_SIZES:
            log.warning(
                "OpenVINO compiles the network for each image size, and there are more than %d:"
                " use --mode slide, which has one size, or --engine torch",
                MAX_SIZES,
            )
            self._compiled.popitem(last=False)
        try:
            self._compiled[shape] = _Compiled(self.network, shape, HINTS[self._precision])
        except Exception as error:  # torch and OpenVINO raise dozens of types
            said = str(error).strip().partition("\n")[0]
            raise DeviceError(
                f"OpenVINO cannot run the network at {shape[3]} x {shape[2]}: {said}", "Use --engine torch."
            ) from error


class _Compiled:
    """The compiled network for one input shape."""

    def __init__(self, network: Network, shape: torch.Size, hint: str) -> None:
        import openvino

        # Tensors of inference mode cannot be traced, and autocast would become part of the graph.
        with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
            program = export(network, (torch.zeros(shape),))
            model = convert_to_openvino(program)
        assert program.call_spec.out_spec is not None
        self._structure = program.call_spec.out_spec
        properties = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # otherwise all processes would choose the same cores
        }
        self._request = openvino.compile_model(model, "CPU", properties).create_infer_request()

    def outputs(self, pixels: Tensor) -> Any:
        """The outputs of `network(pixels)`."""
        found = self._request.infer([pixels.contiguous().numpy()], share_inputs=True)
        return tree_unflatten([torch.from_numpy(found[i]) for i in range(len(found))], self._structure)


def convert_to_openvino(program: ExportedProgram) -> Any:
    """The `openvino.Model` of an exported graph."""
    import openvino

    with quiet():
        return openvino.convert_model(program)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence converters, which print, warn and log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
