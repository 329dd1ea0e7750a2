"""kernels/*.cu on the CPU: compiled by g++ under host/shim.cpp and launched with the arguments that a GPU would get."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from semask_cli.io.resources import project_file
from semask_cli.ops.nvrtc import Kernel

SHIM = Path(__file__).parent / "host" / "shim.cpp"
SANITIZE = ("-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


def compiler() -> str | None:
    return shutil.which("g++")


@dataclass(frozen=True)
class HostKernels:
    """Launches on the CPU; `folder` keeps what is compiled."""

    folder: Path
    flags: tuple[str, ...] = ()

    def launch(
        self,
        kernel: Kernel,
        device: torch.device,
        *,
        grid: tuple[int, int, int],
        threads: int,
        arguments: ctypes.Structure,
    ) -> None:
        parameters = (ctypes.c_void_p * 1)(ctypes.addressof(arguments))
        host_library(kernel, self.folder, self.flags).launch(*grid, threads, parameters)


@cache
def host_library(kernel: Kernel, folder: Path, flags: tuple[str, ...]) -> ctypes.CDLL:
    kernels, source = project_file("kernels"), project_file(kernel.folder) / f"{kernel.name}.cu"
    command = [
        *(compiler() or "g++", "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"),
        *("-shared", "-fPIC", f"-I{kernels}", f'-DKERNEL="{source}"', f"-DENTRY={kernel.name}"),
        *(f"-D{key}={value}" for key, value in kernel.constants),
        *flags,
        str(SHIM),
    ]
    sources = [SHIM.read_bytes(), source.read_bytes(), *(file.read_bytes() for file in sorted(kernels.glob("*.cuh")))]
    digest = hashlib.sha256(b"\0".join([repr(command).encode(), *sources])).hexdigest()[:32]
    path = folder / f"{kernel.name}-{digest}.so"
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, "-o", str(unfinished)], check=True)
        unfinished.replace(path)
    return ctypes.CDLL(str(path))
