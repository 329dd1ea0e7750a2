"""Calls into NVRTC and the CUDA driver: through `cuda.bindings` where torch brought it along, else over ctypes."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, Literal

from semask_cli.ops import ctypes_bindings


class KernelError(RuntimeError):
    """A kernel cannot be compiled, loaded or launched on this machine."""


def call(name: str, *arguments: Any) -> Any:
    """The output of NVRTC's or the driver's function `name`: None, one as it is, several as a list.

    Raises:
        KernelError: the library is missing, or reports an error.
    """
    try:
        error, *outputs = getattr(library("nvrtc" if name.startswith("nvrtc") else "driver"), name)(*arguments)
    except (OSError, RuntimeError) as missing:  # ctypes' and cuda.bindings' ways to say it
        raise KernelError(str(missing)) from None
    if int(error):
        raise KernelError(f"{name}: {getattr(error, 'name', f'error {int(error)}')}")
    return outputs[0] if len(outputs) == 1 else outputs or None


@cache
def library(name: Literal["nvrtc", "driver"]) -> Any:
    """`cuda.bindings.nvrtc` or `.driver`, or what stands in for it, whichever finds the library itself.

    Imported when it is needed: that takes a while. `cuda.bindings` may be of another CUDA version than torch, where
    another package brought it along, and then looks for a library that is not there.

    Raises:
        OSError: neither finds it.
    """
    asked = {"nvrtc": "nvrtcVersion", "driver": "cuDriverGetVersion"}[name]
    try:
        bindings = importlib.import_module(f"cuda.bindings.{name}")
        getattr(bindings, asked)()
    except (ImportError, RuntimeError):
        bindings = getattr(ctypes_bindings, name)
        getattr(bindings, asked)()
    return bindings
