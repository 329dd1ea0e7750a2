"""What semask finds on this machine, as `semask doctor` shows it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from semask_cli.inference.versions import versions
from semask_cli.io.cache import cache_folder, offline
from semask_cli.ops.bindings import KernelError, call
from semask_cli.ops.cpu import multiplies_bf16, multiplies_int8, processor
from semask_cli.ops.nvrtc import nvrtc_version
from semask_cli.ops.status import network_kernels, why_plain

OPERATORS = tuple(network_kernels())


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a network can run on, by torch's name; `memory_bytes` where it has its own."""

    name: str
    description: str
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPath:
    """What runs when `semask::operator` is called on the device: its kernel, or the plain formulation and why."""

    operator: str
    device: str
    path: Literal["kernel", "plain"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFolder:
    """A folder of the cache, and what lies in it."""

    path: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that `semask doctor` finds; None where there is none.

    `cuda` is the version that torch was built for, `driver` the newest one that the installed driver runs, `free_bytes`
    the room left where the cache lies.
    """

    platform: str
    versions: dict[str, str]
    cuda: str | None
    driver: str | None
    nvrtc: str | None
    threads: int
    devices: tuple[Device, ...]
    operators: tuple[OperatorPath, ...]
    checkpoints: CacheFolder
    kernels: CacheFolder
    free_bytes: int
    offline: bool


def diagnose() -> Diagnosis:
    """Find all of it. Compiles the kernels for each CUDA device that has none in the cache yet."""
    devices = tuple(_devices())
    operators = tuple(_path(operator, device.name) for device in devices for operator in OPERATORS)
    return Diagnosis(
        platform=platform.platform(),
        versions=versions(),
        cuda=torch.version.cuda,
        driver=_found(_driver_version),
        nvrtc=_found(nvrtc_version),
        threads=torch.get_num_threads(),
        devices=devices,
        operators=operators,
        checkpoints=_folder("checkpoints"),
        kernels=_folder("kernels"),
        free_bytes=_free_bytes(),
        offline=offline(),
    )


def _devices() -> Iterator[Device]:
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        capability = f"compute capability {properties.major}.{properties.minor}"
        memory = properties.total_memory
        yield Device(name=f"cuda:{index}", description=f"{properties.name}, {capability}", memory_bytes=memory)
    if torch.backends.mps.is_available():
        yield Device(name="mps", description="Apple silicon")
    fast_in = [name for name, is_fast in (("bf16", multiplies_bf16()), ("int8", multiplies_int8())) if is_fast]
    yield Device(name="cpu", description=processor() + (f", fast in {' and '.join(fast_in)}" if fast_in else ""))


def _path(operator: str, device: str) -> OperatorPath:
    reason = why_plain(operator, torch.device(device))
    if reason is None:
        return OperatorPath(operator=operator, device=device, path="kernel", reason="compiled and loaded")
    return OperatorPath(operator=operator, device=device, path="plain", reason=reason)


def _found(version: Callable[[], str]) -> str | None:
    try:
        return version()
    except KernelError:
        return None


def _driver_version() -> str:
    number = call("cuDriverGetVersion")
    return f"{number // 1000}.{number % 1000 // 10}"


def _folder(name: str) -> CacheFolder:
    path = cache_folder() / name
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    return CacheFolder(path=str(path), files=len(sizes), bytes=sum(sizes))


def _free_bytes() -> int:
    """Where the cache is, or will be."""
    folder = cache_folder().absolute()
    return shutil.disk_usage(next(f for f in (folder, *folder.parents) if os.path.exists(f))).free
