"""Sine position encodings of a map.

Follows «DETR» (Carion et al., arXiv 2005.12872; published code Apache-2.0), with the constants of MaskFormer and
Mask2Former.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

TEMPERATURE = 10000.0
EPSILON = 1e-6


def sine_positions(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """float32 (height, width, channels): the first half encodes the row, the second the column."""
    # A traced graph must not fill the cache.
    encode = _encode.__wrapped__ if torch.compiler.is_compiling() else _encode
    rows = encode(height, channels // 2, device)[:, None].expand(-1, width, -1)
    columns = encode(width, channels // 2, device).expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1)


@lru_cache(maxsize=64)
def _encode(length: int, channels: int, device: torch.device) -> Tensor:
    """float32 (length, channels): interleaved sines and cosines of the position on an axis, scaled to 0 .. 2 pi."""
    place = torch.arange(1, length + 1, dtype=torch.float32, device=device) / (length + EPSILON) * (2 * math.pi)
    pair = torch.arange(channels // 2, dtype=torch.float32, device=device)
    angles = place[:, None] / TEMPERATURE ** (2 * pair / channels)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
