"""The custom operators, as torch.library operators of the namespace `semask`.

ms_deform_attn.py, deform_conv2d.py and resize.py define them: schema, fake for torch.compile, and a formulation in
plain torch that runs on every device and says what a kernel must compute. cuda_sampling.py and cuda_resize.py register
the kernels of kernels/ for CUDA, where they take precedence; status.py tells which of them run.
"""

from semask_cli.ops import cuda_resize, cuda_sampling  # noqa: F401  (they register the kernels)
from semask_cli.ops.deform_conv2d import deform_conv2d
from semask_cli.ops.ms_deform_attn import ms_deform_attn
from semask_cli.ops.resize import resize_accumulate, resize_argmax, resize_sigmoid

__all__ = ["deform_conv2d", "ms_deform_attn", "resize_accumulate", "resize_argmax", "resize_sigmoid"]
