"""Copies between host and GPU through pinned memory, which run asynchronously.

Torch reuses pinned memory for later copies, but never while a copy still reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(images: Sequence[NDArray[np.uint8]], device: torch.device) -> Tensor:
    """Images of one shape, uint8 -> (B, ...) uint8 on the device. The host does not wait for the copy."""
    shape = (len(images), *images[0].shape)
    staged = torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
    np.stack(images, out=staged.numpy())
    return staged.to(device, non_blocking=True)


def to_host(tensor: Tensor) -> Tensor:
    """The tensor on the CPU. The host waits for it, but for nothing that is queued later."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    copied = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return copied
