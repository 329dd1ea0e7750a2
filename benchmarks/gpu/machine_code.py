"""What NVRTC makes of the kernels, read without a GPU by the cuobjdump that Triton's wheel carries.

    python -m benchmarks.gpu.machine_code > benchmarks/records/machine_code.csv

One line for each kernel, choice of its constants, and architecture. The tests hold it to limits, and refuse it once a
source has changed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import chain, product
from pathlib import Path

from benchmarks.gpu.occupancy import MULTIPROCESSORS, resident_blocks
from semask_cli.io.resources import project_file
from semask_cli.ops.nvrtc import Kernel, machine_code
from semask_cli.ops.status import network_kernels

ARCHITECTURES = tuple(MULTIPROCESSORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCode:
    """One kernel's figures; `loads_16` and `stores_16` count instructions that move sixteen bytes a thread.

    `blocks` of `threads` are on a multiprocessor at a time, at most, and `occupancy` is their part of the warps that it
    can hold. `sources` identifies the sources that it was compiled from.
    """

    sources: str
    kernel: str
    constants: str
    architecture: int
    threads: int
    registers: int
    shared_bytes: int
    blocks: int
    occupancy: float
    stack_bytes: int
    instructions: int
    local_memory: int
    shuffles: int
    loads_16: int
    stores_16: int


def cuobjdump() -> Path | None:
    triton = importlib.util.find_spec("triton")
    if triton is None or triton.origin is None:
        return None
    tool = Path(triton.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    return tool if tool.exists() else None


def cases() -> Iterator[tuple[Kernel, int]]:
    """Every kernel and every architecture it is compiled for: bf16 is refused on GPUs before Ampere."""
    for kernel, architecture in product(chain.from_iterable(network_kernels().values()), ARCHITECTURES):
        if architecture >= 80 or "BFloat16" not in dict(kernel.constants).values():
            yield kernel, architecture


@cache
def sources() -> str:
    """The beginning of the SHA-256 of all sources of kernels, as they stand."""
    files = sorted(path for path in project_file("kernels").iterdir() if path.suffix in (".cu", ".cuh"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def constants(kernel: Kernel) -> str:
    return " ".join(f"{key}={value}" for key, value in kernel.constants)


def dissect(kernel: Kernel, architecture: int, tool: Path) -> MachineCode:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(machine_code(kernel, divmod(architecture, 10)))
        file.flush()
        command = [tool, "-res-usage", "-sass", "-elf", file.name]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    operations = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+\s+)?([\w.]+)", listing)
    used = {name: int(count) for name, count in re.findall(r"\b(REG|STACK|SHARED):(\d+)", listing)}
    bounds = re.search(r"EIATTR_MAX_THREADS\s+Format:\s+\w+\s+Value:\s+0x([0-9a-f]+) 0x1 0x1", listing)
    assert bounds is not None, f"{kernel.name} has no __launch_bounds__"
    threads = int(bounds[1], 16)
    blocks = resident_blocks(architecture, threads=threads, registers=used["REG"], shared_bytes=used["SHARED"])

    def count(pattern: str) -> int:
        return sum(re.match(pattern, operation) is not None for operation in operations)

    return MachineCode(
        sources=sources(),
        kernel=kernel.name,
        constants=constants(kernel),
        architecture=architecture,
        threads=threads,
        registers=used["REG"],
        shared_bytes=used["SHARED"],
        blocks=blocks,
        occupancy=round(blocks * -(-threads // 32) / MULTIPROCESSORS[architecture].warps, 2),
        stack_bytes=used["STACK"],
        instructions=len(operations) - count("NOP"),
        local_memory=count("LDL|STL"),
        shuffles=count("SHFL"),
        loads_16=count(r"LDG\.E\.128"),
        stores_16=count(r"STG\.E\.128"),
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    tool = cuobjdump()
    if tool is None:
        sys.exit("cuobjdump is missing: install triton")
    writer = csv.DictWriter(sys.stdout, [field.name for field in fields(MachineCode)], lineterminator="\n")
    writer.writeheader()
    for kernel, architecture in cases():
        writer.writerow(asdict(dissect(kernel, architecture, tool)))


if __name__ == "__main__":
    main()
