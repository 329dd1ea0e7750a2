"""AddressSanitizer and UndefinedBehaviorSanitizer over the kernels, and proof that they would notice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.host_kernels import HostKernels, compiler


@pytest.fixture(scope="module")
def runtimes() -> str:
    """The sanitizers' libraries, which Python must load before everything else."""
    names = ("libasan.so", "libubsan.so")
    found = [
        subprocess.run([compiler() or "g++", f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
        for name in names
    ]
    if not all(Path(path).is_absolute() for path in found):
        pytest.skip("g++'s AddressSanitizer is not installed")
    return ":".join(found)


def sanitized(folder: Path, runtimes: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LD_PRELOAD": runtimes, "ASAN_OPTIONS": "detect_leaks=0"}
    command = [sys.executable, "-m", "tests.support.sanitized", str(folder), *options]
    return subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)


@pytest.mark.slow
def test_no_kernel_leaves_its_tensors(host_kernels: HostKernels, runtimes: str) -> None:
    finished = sanitized(host_kernels.folder, runtimes)
    assert finished.stdout == "clean\n", finished.stderr


@pytest.mark.slow
def test_a_read_behind_a_tensor_is_noticed(host_kernels: HostKernels, runtimes: str) -> None:
    finished = sanitized(host_kernels.folder, runtimes, "planted")
    assert finished.stdout == ""
    assert "heap-buffer-overflow" in finished.stderr
    assert "add_sample" in finished.stderr
