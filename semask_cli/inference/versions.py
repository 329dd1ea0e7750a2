"""Versions of what decides a pixel, recorded with every result, and the processor, recorded with every time."""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch

from semask_cli import __version__


@cache
def versions() -> dict[str, str]:
    """Of semask, Python, and the libraries that decode, resize and compute."""
    return {
        "semask": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }


@cache
def processor() -> str:
    """The CPU's name, and the widest instructions torch has for it: "AMD EPYC, AVX2"."""
    name, widest = platform.processor() or platform.machine(), torch.backends.cpu.get_cpu_capability()
    cpuinfo = Path("/proc/cpuinfo")  # Linux
    if cpuinfo.exists():
        found = dict(re.findall(r"^(.+?)\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE))
        name = found.get("model name", name)
        widest += " AMX" if "amx_bf16" in found.get("flags", "").split() else ""
    return f"{name}, {widest}"
