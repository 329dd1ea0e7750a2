"""What decides a pixel beside the weights, recorded with every result: versions, and the row of the zoo."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec

import cv2
import numpy as np
import PIL
import torch

from semask_cli.version import __version__
from semask_cli.zoo import ModelSpec

# Of a row what changes no prediction, or is told by the weights' own digest.
_ABOUT = ("name", "licence", "source", "miou", "miou_ms_flip", "params_m", "checkpoints", "checkpoint")


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


def row_digest(spec: ModelSpec) -> str:
    """Eight hexadecimal digits that differ where rows with the same weights may predict something else."""
    decisive = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec) if field.name not in _ABOUT}
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:8]
