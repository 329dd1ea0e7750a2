"""Calls into NVRTC and the CUDA driver, by `cuda.bindings` if torch installed it, else by ctypes."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, Literal

from semask_cli.ops import ctypes_bindings


class KernelError(RuntimeError):
    """A kernel cannot be compiled, loaded or launched on this machine."""


def call(name: str, *arguments: Any) -> Any:
    """Call the function `name` of NVRTC or the driver; returns None, its output, or a list of outputs.

    Raises:
        KernelError: the library is missing, or reports an error.
    """
    try:
        error, *outputs = getattr(library("nvrtc" if name.startswith("nvrtc") else "driver"), name)(*arguments)
    except (OSError, RuntimeError) as missing:  # raised by ctypes and by cuda.bindings
        raise KernelError(str(missing)) from None
    if int(error):
        raise KernelError(f"{name}: {getattr(error, 'name', f'error {int(error)}')}")
    return outputs[0] if len(outputs) == 1 else outputs or None


@cache
def library(name: Literal["nvrtc", "driver"]) -> Any:
    """`cuda.bindings.nvrtc` or `.driver`, or its replacement over ctypes, whichever finds the library.

    Imported lazily, which takes a while. `cuda.bindings` may be for another CUDA version than torch, if another package
    installed it, and then looks for a missing library.

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
