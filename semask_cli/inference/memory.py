"""Memory: reuse by the allocator, limits on a GPU, peak usage, and out-of-memory errors."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_KEPT = 1 << 30  # bytes


@cache
def reuse_freed_memory() -> None:
    """Make glibc reuse the process's memory for tensors of up to 1 GiB. No effect on other systems.

    By default it maps and unmaps every tensor of more than 32 MiB separately, and the kernel clears the pages each
    time: a tenth of the time of a large network on a CPU.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _KEPT)
            mallopt(_M_TRIM_THRESHOLD, _KEPT)


def process_peak() -> int:
    """The peak memory of this process so far, in bytes."""
    if sys.platform == "win32":
        counters = _MemoryCounters(size=ctypes.sizeof(_MemoryCounters))
        kernel = ctypes.windll.kernel32
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        kernel.K32GetProcessMemoryInfo(
            ctypes.c_void_p(kernel.GetCurrentProcess()), ctypes.byref(counters), counters.size
        )
        return int(counters.peak_working_set)
    import resource  # which Windows does not have

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class _MemoryCounters(ctypes.Structure):
    """`PROCESS_MEMORY_COUNTERS` of <psapi.h>."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("page_faults", ctypes.c_uint32),
        ("peak_working_set", ctypes.c_size_t),
        ("others", ctypes.c_size_t * 7),
    )


def limit_gpu_memory(device: torch.device, budget: int) -> None:
    """Limit this process to `budget` bytes of the GPU's memory beyond what it holds now."""
    held, total = torch.cuda.memory_reserved(device), torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (held + budget) / total), device)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error is out of memory: torch has a class for GPUs, but only messages for libraries and CPUs."""
    # The last one is of cuBLAS and cuDNN.
    words = ("can't allocate memory", "could not create a primitive", "STATUS_ALLOC_FAILED")
    said = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(phrase in said for phrase in words)
