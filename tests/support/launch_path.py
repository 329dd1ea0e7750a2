"""Runs in a process of its own, against host/driver.c as libcuda.so.1: operators, cache, driver calls, launches.

The tensors lie in the host's memory and say that they are on cuda:1; a launch runs the kernel's source on the CPU.

    python -m tests.support.launch_path SCENARIO FOLDER       prints what happened as JSON
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

if "ctypes" in sys.argv[1]:
    sys.modules["cuda.bindings"] = None  # type: ignore[assignment]  # as where it is not installed

import torch
from torch import Tensor

from semask_cli.ops import cuda_sampling, deform_conv2d, ms_deform_attn
from semask_cli.ops.bindings import library
from semask_cli.ops.status import network_kernels
from tests.support.host_kernels import host_library
from tests.support.kernel_inputs import attention_inputs, convolution_inputs

scenario, folder = sys.argv[1], Path(sys.argv[2])
launches: list[dict[str, object]] = []
guarded: list[str] = []
streams = iter(range(0x5EA0, 0x5EAF))


class OnDevice(Tensor):
    device = torch.device("cuda", 1)


@contextmanager
def guard(device: torch.device) -> Iterator[None]:
    guarded.append(str(device))
    torch.cuda.current_device = lambda: device.index
    yield
    torch.cuda.current_device = lambda: 0


torch.cuda.device = guard
torch.cuda.get_device_capability = lambda device: (9, 0)
torch.cuda.current_stream = lambda device: SimpleNamespace(cuda_stream=next(streams))
torch.cuda.is_current_stream_capturing = lambda: False


def launched(name: bytes, context: int, x: int, y: int, z: int, threads: int, stream: int, parameters: int) -> None:
    launches.append({"kernel": name.decode(), "device": context, "stream": stream, "grid": [x, y, z]})
    kernels = {kernel.name: kernel for operator in network_kernels().values() for kernel in operator[:1]}
    host_library(kernels[name.decode()], folder, ()).launch(x, y, z, threads, ctypes.c_void_p(parameters))


CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p, *[ctypes.c_int] * 5, ctypes.c_size_t, ctypes.c_void_p)(launched)
ctypes.CDLL("libcuda.so.1").stub_on_launch(CALLBACK)


def error(operator: str) -> float:
    """Calls the CUDA implementation; the greatest difference from the plain one."""
    if operator == "ms_deform_attn":
        inputs, plain = attention_inputs(), ms_deform_attn
    else:
        inputs, plain = convolution_inputs(channels=256, groups=8), deform_conv2d
    on_device = [x.as_subclass(OnDevice) if isinstance(x, Tensor) else x for x in inputs]
    result = getattr(cuda_sampling, f"cuda_{operator}")(*on_device).as_subclass(Tensor)
    return float((result - plain(*inputs)).abs().max())


if "plain" in scenario:
    cuda_sampling.reference_ms_deform_attn = lambda *inputs: ms_deform_attn(
        *(x.as_subclass(Tensor) if isinstance(x, Tensor) else x for x in inputs)
    )
errors = [error("ms_deform_attn"), error("ms_deform_attn")]
if "plain" not in scenario:
    errors.append(error("deform_conv2d"))
    thread = Thread(target=lambda: errors.append(error("ms_deform_attn")))  # has no CUDA context yet
    thread.start()
    thread.join()
bindings = type(library("driver")).__name__
print(json.dumps({"errors": errors, "launches": launches, "guarded": guarded, "bindings": bindings}))
