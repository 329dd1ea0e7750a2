"""Operators: tensors in, tensors out, on every device. They know no network.

    ms_deform_attn.py, deform_conv2d.py     sampling, by bilinear_bags.py; on CUDA cuda_sampling.py
    resize.py, resample.py                  bilinear resizes with what follows them; on CUDA cuda_resize.py
    window_attention.py, layer_norm.py      operators of the backbone, with their CUDA kernels
    registry.py             how all of these become operators of torch.library, in the namespace `semask`
    nvrtc.py, launcher.py   kernels/*.cu compiled at run time and launched; bindings.py, ctypes_bindings.py: the calls;
                            storage.py: dtypes and limits; status.py: which kernels run
    standard_operators.py   the deformable operators for graphs that are exported
    linear.py, cpu.py       which formulation is faster on this CPU

Each operator has a reference formulation in plain torch (`reference_*`), which runs on every device and says what a
kernel must compute, and a fake for torch.compile.
"""

from semask_cli.ops import cuda_resize, cuda_sampling  # noqa: F401  (they register the kernels)
from semask_cli.ops.deform_conv2d import deform_conv2d
from semask_cli.ops.ms_deform_attn import ms_deform_attn
from semask_cli.ops.resample import Resample
from semask_cli.ops.resize import resize_accumulate, resize_argmax, resize_sigmoid

__all__ = ["Resample", "deform_conv2d", "ms_deform_attn", "resize_accumulate", "resize_argmax", "resize_sigmoid"]
