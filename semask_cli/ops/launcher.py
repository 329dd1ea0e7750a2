"""Loading kernels on a device, once, and launching them on torch's current stream.

If a kernel cannot be compiled or loaded, a one-line warning is logged, and the caller runs the reference formulation.
The same reason is logged only once.
"""

from __future__ import annotations

import ctypes
import logging
import os
from functools import cache

import torch

from semask_cli.ops.bindings import KernelError, call
from semask_cli.ops.nvrtc import Kernel, machine_code

log = logging.getLogger(__name__)


def available(kernel: Kernel, device: torch.device) -> bool:
    """Whether the kernel can be launched on this device; compiles and loads it on first use."""
    return why_none() is None and isinstance(loaded(kernel, device), int)


def why_none() -> str | None:
    """The reason to use no kernels at all (SEMASK_KERNELS=off, or torch built for AMD); None if there is none."""
    if torch.version.hip is not None:
        return "the kernels are for NVIDIA GPUs, but torch is built for AMD"
    return "SEMASK_KERNELS=off" if os.environ.get("SEMASK_KERNELS", "on").lower() == "off" else None


@cache
def loaded(kernel: Kernel, device: torch.device) -> int | KernelError:
    """The driver's handle of the kernel on this device, or the error that prevents it, which is also logged.

    Raises:
        RuntimeError: a CUDA graph is being captured, during which nothing can be loaded.
    """
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(f"run the model once before capturing a CUDA graph: the kernel {kernel.name} is not loaded")
    try:
        code = machine_code(kernel, torch.cuda.get_device_capability(device))
        with torch.cuda.device(device):
            _ensure_context()
            library = call("cuLibraryLoadData", code, None, None, 0, None, None, 0)
            handle = call("cuLibraryGetKernel", library, kernel.name.encode())
            # A function belongs to one device's context; this loads the code now, not at the first launch.
            return int(call("cuKernelGetFunction", handle))
    except KernelError as error:
        _report(kernel.name, str(error).splitlines()[0])
        return error


_reported: set[str] = set()


def _report(kernel: str, reason: str) -> None:
    if reason not in _reported:
        log.warning("the plain formulation runs instead of the kernel %s: %s", kernel, reason)
    _reported.add(reason)


def launch(
    kernel: Kernel, device: torch.device, *, grid: tuple[int, int, int], threads: int, arguments: ctypes.Structure
) -> None:
    """Queue the kernel on the current stream of `device`; `arguments` is passed by value.

    Raises:
        KernelError: the kernel is unavailable, or the driver refuses the launch.
    """
    function = loaded(kernel, device)
    if isinstance(function, KernelError):
        raise function
    parameters = (ctypes.c_void_p * 1)(ctypes.addressof(arguments))
    with torch.cuda.device(device):
        _ensure_context()
        # Not cached: a cached stream would escape CUDA graphs and torch.cuda.stream.
        stream = torch.cuda.current_stream(device).cuda_stream
        call("cuLaunchKernel", function, *grid, threads, 1, 1, 0, stream, ctypes.addressof(parameters), 0)


def _ensure_context() -> None:
    """Make torch's context current in this thread: one that has not called the CUDA runtime yet has none."""
    if not int(call("cuCtxGetCurrent")):
        call("cuCtxSetCurrent", call("cuDevicePrimaryCtxRetain", torch.cuda.current_device()))
