"""The functions of NVRTC and the CUDA driver that the kernels need, over ctypes, with the interface of `cuda.bindings`.

For torch builds without `cuda.bindings` (Windows, other channels): the same names and arguments, and results as a tuple
of the error code (0 is success) and the outputs.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_void_p
from functools import cached_property
from pathlib import Path
from typing import Any

import torch


class _Strings:
    """A list of bytes as C's `const char * const *`."""

    @staticmethod
    def from_param(strings: Sequence[bytes]) -> Any:
        return (c_char_p * len(strings))(*strings)


class _Library:
    """Functions of the first library that loads; a POINTER among the parameters is an output."""

    def __init__(self, candidates: Callable[[], Iterator[str]], functions: dict[str, tuple[Any, ...]]) -> None:
        self._candidates, self._functions = candidates, functions

    @cached_property
    def _library(self) -> ctypes.CDLL:
        failures = []
        for name in self._candidates():
            try:
                return ctypes.CDLL(name)
            except OSError as error:
                failures.append(str(error))
        raise OSError("; ".join(failures) or "no such library in torch's folders")

    def __getattr__(self, name: str) -> Any:
        if name not in self._functions:
            raise AttributeError(name)
        parameters = self._functions[name]
        outputs = [isinstance(parameter, type(POINTER(c_int))) for parameter in parameters]
        flags = tuple((2 if output else 1,) for output in outputs)
        function = ctypes.CFUNCTYPE(c_int, *parameters)((name, self._library), flags)

        def error_and_outputs(error: Any, _: Any, arguments: Any) -> Any:
            return error, *(argument.value or 0 for argument, output in zip(arguments, outputs, strict=True) if output)

        function.errcheck = error_and_outputs
        setattr(self, name, function)
        return function


def _nvrtc_candidates() -> Iterator[str]:
    """NVRTC in torch's folder, in the wheels beside torch, and on the system's search path."""
    windows = sys.platform == "win32"
    pattern = "nvrtc64_*_0.dll" if windows else "libnvrtc.so*"
    torch_folder = Path(torch.__file__).parent
    for folder in ("lib", "../nvidia/*/lib", "../nvidia/*/bin", "../nvidia/*/bin/x86_64"):
        yield from sorted(str(path) for path in torch_folder.glob(f"{folder}/{pattern}"))
    if not windows:
        conda = os.environ.get("CONDA_PREFIX")
        yield from sorted(str(path) for path in Path(conda).glob(f"lib/{pattern}")) if conda else ()
        # Only development packages have the name without a version.
        yield from (f"libnvrtc.so{version}" for version in ("", ".13", ".12"))


def _driver_candidates() -> Iterator[str]:
    yield "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


class _Nvrtc(_Library):
    def nvrtcGetSupportedArchs(self) -> tuple[int, list[int]]:  # noqa: N802 (NVRTC's name)
        result, count = self.nvrtcGetNumSupportedArchs()
        architectures = (c_int * count)()
        return result or self._library.nvrtcGetSupportedArchs(architectures), list(architectures)

    def nvrtcDestroyProgram(self, program: int) -> tuple[int]:  # noqa: N802
        return (self._library.nvrtcDestroyProgram(ctypes.byref(c_void_p(program))),)


nvrtc = _Nvrtc(
    _nvrtc_candidates,
    {
        "nvrtcVersion": (POINTER(c_int), POINTER(c_int)),
        "nvrtcGetNumSupportedArchs": (POINTER(c_int),),
        "nvrtcCreateProgram": (POINTER(c_void_p), c_char_p, c_char_p, c_int, _Strings, _Strings),
        "nvrtcCompileProgram": (c_void_p, c_int, _Strings),
        "nvrtcGetProgramLogSize": (c_void_p, POINTER(c_size_t)),
        "nvrtcGetProgramLog": (c_void_p, c_char_p),
        "nvrtcGetCUBINSize": (c_void_p, POINTER(c_size_t)),
        "nvrtcGetCUBIN": (c_void_p, c_char_p),
        "nvrtcGetPTXSize": (c_void_p, POINTER(c_size_t)),
        "nvrtcGetPTX": (c_void_p, c_char_p),
    },
)

driver = _Library(
    _driver_candidates,
    {
        "cuDriverGetVersion": (POINTER(c_int),),
        "cuCtxGetCurrent": (POINTER(c_void_p),),
        "cuCtxSetCurrent": (c_void_p,),
        "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
        "cuLibraryLoadData": (POINTER(c_void_p), c_char_p, *[c_void_p, c_void_p, c_uint] * 2),
        "cuLibraryGetKernel": (POINTER(c_void_p), c_void_p, c_char_p),
        "cuKernelGetFunction": (POINTER(c_void_p), c_void_p),
        "cuLaunchKernel": (c_void_p, *[c_uint] * 7, c_void_p, c_void_p, c_void_p),
    },
)
