"""The diagnosis of this machine that `semask doctor` prints."""

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
    """A device, by torch's name; `memory_bytes` if it has its own memory."""

    name: str
    description: str
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPath:
    """The implementation of `semask::operator` on a device: its kernel, or the plain formulation, and why."""

    operator: str
    device: str
    path: Literal["kernel", "plain"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFolder:
    """A folder of the cache, and the size of its contents."""

    path: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that `semask doctor` finds.

    `cuda` is the version that torch was built for, `driver` the newest one that the installed driver supports (None
    without), `free_bytes` the free space on the disk of the cache.
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
    """Diagnose this machine. Compiles the kernels for CUDA devices that are not in the cache yet."""
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
    """On the disk of the cache, even if that does not exist yet."""
    folder = cache_folder().absolute()
    return shutil.disk_usage(next(f for f in (folder, *folder.parents) if os.path.exists(f))).free
