"""The machine code of every kernel has no obvious waste, on any architecture; some compiles again here."""

from __future__ import annotations

import csv
from typing import get_type_hints

import pytest

from benchmarks.gpu.machine_code import MachineCode, cases, constants, cuobjdump, dissect, sources
from benchmarks.gpu.occupancy import resident_blocks
from semask_cli.io.resources import project_file
from semask_cli.ops.bindings import KernelError
from semask_cli.ops.nvrtc import Kernel, machine_code, nvrtc_version

RECORD = project_file("weights.toml").parent / "benchmarks" / "records" / "machine_code.csv"
CASES = list(cases())
COMPILED = [(kernel, architecture) for kernel, architecture in CASES if architecture in (75, 120)]
"""The oldest and the newest, of either branch of the sources. The record has them all."""

KINDS = get_type_hints(MachineCode)


def refuse_waste(figures: MachineCode) -> None:
    assert figures.instructions > 100
    assert figures.stack_bytes == figures.local_memory == 0, "registers spill to memory"
    assert figures.loads_16 >= 4, "not loaded by sixteen bytes"
    assert figures.stores_16 >= 1 or figures.kernel == "resize_argmax", "not stored by sixteen bytes"
    assert figures.occupancy >= 0.25, "too few warps to hide what they wait for"


def recorded() -> list[MachineCode]:
    with RECORD.open() as file:
        return [MachineCode(**{field: KINDS[field](row[field]) for field in KINDS}) for row in csv.DictReader(file)]


def test_the_record_is_of_every_kernel_as_it_is_on_every_architecture() -> None:
    found = {(row.kernel, row.constants, row.architecture) for row in recorded()}
    assert found == {(kernel.name, constants(kernel), architecture) for kernel, architecture in CASES}
    assert {row.sources for row in recorded()} == {sources()}, "write it anew, see benchmarks/gpu/machine_code.py"
    for row in recorded():
        refuse_waste(row)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "architecture"),
    COMPILED,
    ids=lambda of: f"{of.name}-{constants(of)}" if isinstance(of, Kernel) else f"sm_{of}",
)
def test_every_kernel_compiles(kernel: Kernel, architecture: int) -> None:
    try:
        nvrtc_version()
    except KernelError:
        pytest.skip("NVRTC is not installed: it comes with torch's CUDA builds and as a wheel of its own")
    tool = cuobjdump()
    if tool is None:
        machine_code(kernel, divmod(architecture, 10))
        pytest.skip("compiled; cuobjdump, which comes with triton, is not installed to look further")
    figures = dissect(kernel, architecture, tool)
    assert figures.architecture == architecture
    refuse_waste(figures)


@pytest.mark.parametrize(
    ("architecture", "threads", "registers", "shared_bytes", "blocks"),
    [
        (80, 1024, 32, 0, 2),  # all 64 warps
        (75, 256, 64, 0, 4),  # all 32 warps, and all registers
        (90, 32, 16, 0, 32),  # no more blocks
        (80, 256, 255, 0, 1),  # two warps with 256 registers a partition
        (90, 288, 97, 0, 1),  # four warps with 104 registers a partition, of which nine are a block
        (90, 288, 96, 0, 2),
        (86, 128, 32, 24 << 10, 4),  # 100 KiB, and one of each block for the system
        (75, 128, 32, 24 << 10, 2),
        (90, 128, 32, (24 << 10) + 1024, 9),  # cuobjdump has counted the system's
        (75, 1024, 128, 0, 0),
    ],
)
def test_blocks_of_a_multiprocessor(
    architecture: int, threads: int, registers: int, shared_bytes: int, blocks: int
) -> None:
    found = resident_blocks(architecture, threads=threads, registers=registers, shared_bytes=shared_bytes)
    assert found == blocks
