"""Versions of what decides a pixel, recorded with every result."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec

import cv2
import numpy as np
import PIL
import torch

from semask_cli.version import __version__


@cache
def versions(*packages: str) -> dict[str, str]:
    """Of semask, Python, the libraries that decode, resize and compute, and `packages`."""
    return {
        "semask": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
        **({"simplejpeg": version("simplejpeg")} if find_spec("simplejpeg") else {}),
        **{name: version(name) for name in packages},
    }
