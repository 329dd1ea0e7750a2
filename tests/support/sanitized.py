"""Runs in a process of its own, under AddressSanitizer: every kernel on inputs that reach over all borders.

    LD_PRELOAD=libasan.so python -m tests.support.sanitized FOLDER [planted]

With "planted" a level is said to begin two tokens later than it does, so that its last pixels lie behind the tensor.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import torch

from semask_cli.ops import Resample, cuda_resize, cuda_sampling, launcher, layer_norm, window_attention
from tests.support.host_kernels import SANITIZE, HostKernels
from tests.support.kernel_inputs import attention_inputs, convolution_inputs


class Planted(HostKernels):
    def launch(self, *kernel_and_device: Any, arguments: ctypes.Structure, **grid: Any) -> None:
        arguments.start[2] += 2
        super().launch(*kernel_and_device, arguments=arguments, **grid)


host = (Planted if "planted" in sys.argv else HostKernels)(Path(sys.argv[1]), SANITIZE)
launcher.available = lambda kernel, device: True
launcher.launch = host.launch
window_attention.has_kernel = layer_norm.has_kernel = lambda *_, **__: True
half = torch.float16
for queries in (None, 13):
    cuda_sampling.cuda_ms_deform_attn(*attention_inputs(((1, 5), (0, 3), (6, 1)), queries=queries, batch=1, dtype=half))
for height, width in ((5, 7), (1, 4), (3, 1)):
    cuda_sampling.cuda_deform_conv2d(*convolution_inputs(height, width, batch=1, dtype=half))
maps, resample = torch.randn(3, 6, 7), Resample((6, 24, 61), (7, 28, 83), range(61), range(3, 83))
cuda_resize.cuda_argmax(maps, resample)
cuda_resize.cuda_sigmoid(maps, resample)
cuda_resize.cuda_accumulate(torch.zeros(3, 61, 80), maps, resample, softmax=True)
for size in ((3, 9), (8, 7)):
    qkv, padding, table = torch.randn(1, *size, 3, 1, 32), torch.randn(3, 1, 32), torch.randn(1, 13**2)
    for dtype in (half, torch.float32):
        window_attention.cuda_window_attention(qkv.to(dtype), padding.to(dtype), table, 7, 3)
norm = torch.nn.LayerNorm(264)
layer_norm.cuda_add_layer_norm(torch.randn(5, 264), torch.randn(5, 264).half(), norm.weight, norm.bias, norm.eps)
print("clean")
