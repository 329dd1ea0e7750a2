"""Small rows, and files in the published structures for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from semask_cli.checkpoints.matching import on_meta
from semask_cli.zoo import ModelSpec
from tests.support.filled import state_dict

BACKBONE = """
[backbones.small]
embed_dim = 8
depths = [1, 1, 2, 1]
heads = [1, 2, 2, 4]
window = 4
"""

ROW = """
[models.{name}]
family = "fpn"
dataset = "ade20k"
backbone = "small"
num_classes = {classes}
semantic_classes = 5
semantic_window = 4
global_stages = [2, 3]
short_side = 64
long_side = 256
ms_scales = [1.0]
crop = [64, 64]
stride = [43, 43]
head = {{ channels = 8 }}
[[models.{name}.checkpoints]]
label = "first"
drive_id = "{name}-drive-id"
sha256 = "{sha256}"
"""


def write_zoo(path: Path, *, sha256: str = "") -> Path:
    """A zoo file with the rows small (5 classes; `sha256` is that of its file) and other (7 classes)."""
    rows = (ROW.format(name="small", classes=5, sha256=sha256), ROW.format(name="other", classes=7, sha256=""))
    path.write_text(BACKBONE + "".join(rows))
    return path


def weights(spec: ModelSpec) -> dict[str, torch.Tensor]:
    """A value for each tensor that a published file of the row holds, index buffers left out."""
    shapes = [(name, tensor.shape) for name, tensor in on_meta(spec).state_dict().items()]
    return {name: torch.from_numpy(value) for name, value in state_dict(shapes).items()}


def mmseg_file(path: Path, tensors: dict[str, Any], *, ballast: int = 0) -> Path:
    """`tensors` as MMSegmentation saves them, with an optimizer state of `ballast` float32 values."""
    meta = {"CLASSES": ("wall", "building"), "PALETTE": [[120, 120, 120], [180, 120, 120]], "mmseg_version": "0.16.0"}
    torch.save({"meta": meta, "state_dict": tensors, "optimizer": {"state": {0: torch.zeros(ballast)}}}, path)
    return path
