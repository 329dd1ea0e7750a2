"""Operators: tensors in, tensors out, on every device. They know no network.

ms_deform_attn, deform_conv2d, window_attention and resize are torch.library operators of the namespace `semask`
(registry.py). Each has a reference formulation in plain torch (`reference_*`), which runs on every device and says what
a kernel must compute, and a fake for torch.compile. cuda_sampling.py, cuda_resize.py and window_attention.py launch
kernels/*.cu for CUDA tensors, compiled by NVRTC (nvrtc.py, launcher.py, bindings.py); status.py tells which of them
run. standard_operators.py has both deformable ones for graphs that are exported. linear.py and cpu.py choose between
formulations on a CPU; resample.py is the arithmetic of bilinear resizes.
"""

from semask_cli.ops import cuda_resize, cuda_sampling  # noqa: F401  (they register the kernels)
from semask_cli.ops.deform_conv2d import deform_conv2d
from semask_cli.ops.ms_deform_attn import ms_deform_attn
from semask_cli.ops.resample import Resample
from semask_cli.ops.resize import resize_accumulate, resize_argmax, resize_sigmoid

__all__ = ["Resample", "deform_conv2d", "ms_deform_attn", "resize_accumulate", "resize_argmax", "resize_sigmoid"]
