"""The kernels' machine code: kernels/*.cu compiled by NVRTC for the device in use, and cached on disk.

NVRTC comes with torch's CUDA packages: neither a compiler nor the CUDA toolkit is needed, nor a GPU to compile for one.
The sources include no CUDA headers, because NVRTC does not find those of the wheels.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semask_cli.errors import OutputError
from semask_cli.io.cache import cache_folder
from semask_cli.io.files import write_atomically
from semask_cli.io.resources import project_file
from semask_cli.ops.bindings import KernelError, call

EMBEDDED = {53, 62, 72, 87, 101, 110}  # Jetson and Drive boards, whose machine code runs on no other


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel `name` in `folder`/`name`.cu, for one choice of the constants listed in its head."""

    name: str
    constants: tuple[tuple[str, int | str], ...]
    folder: str = "kernels"


def machine_code(kernel: Kernel, capability: tuple[int, int]) -> bytes:
    """The kernel compiled for this compute capability, from the cache if possible.

    Raises:
        KernelError: NVRTC is missing, does not know the architecture, or refuses the source.
    """
    target = architecture(capability)
    options = [f"--gpu-architecture={target}", "--std=c++17", *(f"-D{key}={value}" for key, value in kernel.constants)]
    source = (project_file(kernel.folder) / f"{kernel.name}.cu").read_text()
    headers = {file.name: file.read_text() for file in sorted(project_file("kernels").glob("*.cuh"))}
    inputs = repr((nvrtc_version(), options, source, headers))
    path = cache_folder() / "kernels" / f"{kernel.name}-{target}-{hashlib.sha256(inputs.encode()).hexdigest()[:32]}.bin"
    if code := _read(path):
        return code
    code = _compile(kernel.name, source, headers, options)
    with contextlib.suppress(OutputError):  # a read-only cache
        write_atomically(path, hashlib.sha256(code).digest() + code)
    return code


def architecture(capability: tuple[int, int]) -> str:
    """NVRTC's name of the architecture to compile for.

    Machine code also runs on later devices of the same major version, unless it is for an embedded one. For devices
    that this NVRTC does not know, it is PTX of the newest earlier architecture, which the driver translates.

    Raises:
        KernelError: the device is older than all architectures of this NVRTC.
    """
    device = 10 * capability[0] + capability[1]
    known = [arch for arch in call("nvrtcGetSupportedArchs") if arch <= device]
    if device in known:
        return f"sm_{device}"
    portable = [arch for arch in known if arch not in EMBEDDED]
    if not portable:
        raise KernelError(
            f"NVRTC {nvrtc_version()} does not compile for compute capability {'.'.join(map(str, capability))}"
        )
    newest = max(portable)
    return f"sm_{newest}" if newest // 10 == capability[0] and device not in EMBEDDED else f"compute_{newest}"


def nvrtc_version() -> str:
    """NVRTC's version, for example "13.0".

    Raises:
        KernelError: NVRTC is missing.
    """
    major, minor = call("nvrtcVersion")
    return f"{major}.{minor}"


def _compile(name: str, source: str, headers: dict[str, str], options: list[str]) -> bytes:
    program = call(
        "nvrtcCreateProgram",
        source.encode(),
        f"{name}.cu".encode(),
        len(headers),
        [text.encode() for text in headers.values()],
        [file.encode() for file in headers],
    )
    try:
        try:
            call("nvrtcCompileProgram", program, len(options), [option.encode() for option in options])
        except KernelError as error:
            log = _output("nvrtcGetProgramLog", program)
            raise KernelError(f"{error}\n{log.rstrip(bytes(1)).decode(errors='replace')}") from None
        if "=compute_" in options[0]:
            return _output("nvrtcGetPTX", program)
        return _output("nvrtcGetCUBIN", program)
    finally:
        call("nvrtcDestroyProgram", program)


def _output(getter: str, program: Any) -> bytes:
    buffer = bytes(call(f"{getter}Size", program))
    call(getter, program, buffer)  # NVRTC writes into it
    return buffer


def _read(path: Path) -> bytes | None:
    """The code in a file; None if it is missing or damaged, on which a driver may crash."""
    try:
        digest, code = (content := path.read_bytes())[:32], content[32:]
    except OSError:
        return None
    return code if hashlib.sha256(code).digest() == digest else None
