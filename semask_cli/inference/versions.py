"""What determines labels besides the weights, recorded with every result: versions, and the row of the zoo."""

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

# Keys of a row that change no prediction, or are covered by the digest of the weights.
_ABOUT = ("name", "licence", "source", "miou", "miou_ms_flip", "params_m", "checkpoints", "checkpoint")


@cache
def versions(*packages: str) -> dict[str, str]:
    """The versions of semask, Python, the libraries that decode, resize and compute, and `packages`."""
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
    """A digest of a row, eight hexadecimal digits: equal digests and weights give equal predictions."""
    decisive = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec) if field.name not in _ABOUT}
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:8]
