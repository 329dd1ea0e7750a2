"""What all kernels have in common: the types of kernels/storage.cuh, and the limit of a launch."""

import torch

STORAGE = {torch.float32: "Float32", torch.float16: "Float16", torch.bfloat16: "BFloat16"}
MAX_GRID = 65535  # blocks in y
