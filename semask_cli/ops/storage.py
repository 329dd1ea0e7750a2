"""Common to all kernels: the types of kernels/storage.cuh, the memory layout of tensors, and the limit of a launch."""

import torch
from torch import Tensor

STORAGE = {torch.float32: "Float32", torch.float16: "Float16", torch.bfloat16: "BFloat16"}
MAX_GRID = 65535  # blocks in y


def dense(tensor: Tensor) -> Tensor:
    """The tensor, contiguous and aligned for 16-byte loads; copied only if it is not."""
    tensor = tensor.contiguous()
    return tensor if tensor.data_ptr() % 16 == 0 else tensor.clone()
