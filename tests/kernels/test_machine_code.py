"""Every kernel compiles for every architecture, without a GPU, and its machine code has no obvious waste."""

from __future__ import annotations

import csv

import pytest
from machine_code import ARCHITECTURES, cuobjdump, dissect, kernels

from semask_cli.ops.bindings import KernelError
from semask_cli.ops.nvrtc import Kernel, machine_code, nvrtc_version
from semask_cli.resources import project_file

RECORD = project_file("weights.toml").parent / "benchmarks" / "records" / "machine_code.csv"
KERNELS = [pytest.param(storage, kernel, id=f"{kernel.name}-{storage}") for storage, kernel in kernels()]


@pytest.fixture(autouse=True)
def with_nvrtc() -> None:
    try:
        nvrtc_version()
    except KernelError:
        pytest.skip("NVRTC is not installed: it comes with torch's CUDA builds and as a wheel of its own")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("storage", "kernel"), KERNELS)
def test_every_kernel_on_every_architecture(storage: str, kernel: Kernel, architecture: int) -> None:
    code = machine_code(kernel, divmod(architecture, 10))
    assert code.startswith(b"\x7fELF")
    assert kernel.name.encode() in code
    tool = cuobjdump()
    if tool is None:
        pytest.skip("compiled; cuobjdump, which comes with triton, is not installed to look further")
    figures = dissect(kernel, storage, architecture, tool)
    assert figures.architecture == architecture
    assert figures.stack_bytes == figures.local_memory == 0, "registers spill to memory"
    assert figures.loads_16 >= 4, "the four corners are not loaded by sixteen bytes"
    assert figures.stores_16 >= 1
    assert figures.registers <= 65536 // 512, "a block does not fit"


def test_the_record_names_every_kernel() -> None:
    with RECORD.open() as file:
        recorded = {(row["kernel"], row["storage"], int(row["architecture"])) for row in csv.DictReader(file)}
    assert recorded == {(kernel.name, storage, arch) for storage, kernel in kernels() for arch in ARCHITECTURES}
