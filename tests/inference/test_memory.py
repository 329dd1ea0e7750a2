"""Limits of a process's memory."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from semask_cli.inference.memory import is_out_of_memory, limit_gpu_memory, process_peak


@pytest.mark.parametrize(("budget", "fraction"), [(20, 0.5), (500, 1.0)])
def test_a_gpu_budget_comes_on_top_of_what_is_held(
    budget: int, fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=100))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: limits.append(share))
    limit_gpu_memory(torch.device("cuda", 0), budget)
    assert limits == [fraction]


def test_the_peak_of_this_process() -> None:
    before = process_peak()
    held = bytes(64 << 20)
    assert before <= process_peak() < 1 << 45
    assert process_peak() >= len(held)


def test_the_peak_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    def info(process: Any, counters: Any, size: int) -> None:
        assert (process.value, counters._obj.size) == (7, size)
        assert size == (72 if ctypes.sizeof(ctypes.c_void_p) == 8 else 40)  # of PROCESS_MEMORY_COUNTERS
        counters._obj.peak_working_set = 123

    def current() -> int:
        return 7

    kernel = SimpleNamespace(GetCurrentProcess=current, K32GetProcessMemoryInfo=info)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    assert process_peak() == 123


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_what_means_that_memory_is_too_small(error: Exception, memory: bool) -> None:
    assert is_out_of_memory(error) is memory
