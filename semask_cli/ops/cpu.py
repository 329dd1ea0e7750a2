"""The CPU: its name, for records of measurements, and which of two formulations it runs faster."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch


@cache
def has_amx() -> bool:
    """Whether the processor multiplies tiles of bfloat16 numbers: Intel's AMX."""
    return "amx_bf16" in _flags()


@cache
def processor() -> str:
    """The CPU's name, and the widest instructions torch has for it: "AMD EPYC, AVX2"."""
    cpuinfo = _cpuinfo()
    name = cpuinfo.get("model name") or platform.processor() or platform.machine()
    amx = " AMX" if has_amx() else ""
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}{amx}"


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN, which takes bias and activation with a product, multiplies faster than torch's own linear layer.

    Where there is AVX512: 5 to 20 % on AMD's processors, where MKL, torch's own, stops at AVX2; on Intel's where there
    are few channels, beside which the bias is much to write.
    """
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"


@cache
def small_products_are_slow() -> bool:
    """Whether attention is faster as a few batches of matrix products than as torch's fused kernel.

    That kernel asks MKL for many small products. On AMD's processors it takes 1.6 times as long, on Intel's it is the
    faster one.
    """
    return "AMD" in (_cpuinfo().get("vendor_id") or platform.processor())


def one_of_two_threads_idles(rows: int, channels: int) -> bool:
    """Whether oneDNN gives all of a product of bfloat16 numbers to one of two threads.

    oneDNN 3.12 does so on AMX, between 512 and 1024 output channels, if there are as many rows as these or up to twice
    as many (by the threads' processor time). Both work on either half of such a product, and so do four threads and
    eight on all of it.
    """
    return 512 <= channels <= 1024 and channels <= rows < 2 * channels and torch.get_num_threads() == 2 and has_amx()


@cache
def multiplies_int8() -> bool:
    """Whether the processor sums products of 8-bit numbers in 32 bits, in one instruction: AMX or VNNI."""
    return not {"amx_int8", "avx512_vnni", "avx_vnni"}.isdisjoint(_flags())


@cache
def multiplies_bf16() -> bool:
    """Whether the processor multiplies bfloat16: AMX or AVX512-BF16."""
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(_flags())


def _flags() -> list[str]:
    """Extensions of the instruction set, by Linux's names; elsewhere torch says the same ones, where it says any."""
    known: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return _cpuinfo().get("flags", "").split() or [name for name, there in known.items() if there is True]


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")  # Linux
    return dict(re.findall(r"^(.+?)\s*: (.*)$", path.read_text(), re.MULTILINE)) if path.exists() else {}
