"""Facts about the CPU: its name, for records, and which formulations are faster on it."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch


@cache
def has_amx() -> bool:
    """Whether the CPU has Intel's AMX for bfloat16."""
    return "amx_bf16" in _flags()


@cache
def processor() -> str:
    """The CPU's name and torch's widest instruction set for it: "AMD EPYC, AVX2"."""
    cpuinfo = _cpuinfo()
    name = cpuinfo.get("model name") or platform.processor() or platform.machine()
    amx = " AMX" if has_amx() else ""
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}{amx}"


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN, which fuses bias and activation, is faster than torch's linear layer.

    True with AVX512: by 5 to 20 % on AMD, where torch's MKL is limited to AVX2; on Intel for few channels, where
    writing the bias is a large part of the work.
    """
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"


@cache
def small_products_are_slow() -> bool:
    """Whether attention is faster as batched matrix products than as torch's fused kernel.

    That kernel computes many small products by MKL. It takes 1.6 times as long on AMD, and is faster on Intel.
    """
    return "AMD" in (_cpuinfo().get("vendor_id") or platform.processor())


def one_of_two_threads_idles(rows: int, channels: int) -> bool:
    """Whether oneDNN leaves one of two threads idle in a bfloat16 product.

    oneDNN 3.12 does so on AMX for 512 to 1024 output channels and up to twice as many rows (measured by the threads'
    CPU time). With half of the rows, or with four or eight threads, all threads work.
    """
    return 512 <= channels <= 1024 and channels <= rows < 2 * channels and torch.get_num_threads() == 2 and has_amx()


@cache
def multiplies_int8() -> bool:
    """Whether the CPU has 8-bit dot products: AMX or VNNI."""
    return not {"amx_int8", "avx512_vnni", "avx_vnni"}.isdisjoint(_flags())


@cache
def multiplies_bf16() -> bool:
    """Whether the CPU has bfloat16 products: AMX or AVX512-BF16."""
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(_flags())


def _flags() -> list[str]:
    """Instruction set extensions, by Linux's names; on other systems from torch, if it has them."""
    known: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return _cpuinfo().get("flags", "").split() or [name for name, there in known.items() if there is True]


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")  # Linux
    return dict(re.findall(r"^(.+?)\s*: (.*)$", path.read_text(), re.MULTILINE)) if path.exists() else {}
