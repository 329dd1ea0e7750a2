"""Operators on tensors, for every device.

    ms_deform_attn.py, deform_conv2d.py     deformable sampling, by bilinear_bags.py; on CUDA cuda_sampling.py
    resize.py, resample.py                  bilinear resizes fused with what follows; on CUDA cuda_resize.py
    window_attention.py, layer_norm.py      operators of the backbone, with their CUDA kernels
    registry.py             registration in torch.library, in the namespace `semask`
    nvrtc.py, launcher.py   compile kernels/*.cu at run time and launch them, by bindings.py or ctypes_bindings.py;
                            storage.py: dtypes and limits; status.py: which kernels run
    standard_operators.py   the deformable operators for exported graphs
    linear.py, cpu.py       the faster formulation on this CPU

Each operator has a reference formulation in plain torch (`reference_*`), which runs on every device and defines what a
kernel must compute, and a fake for torch.compile.
"""

from semask_cli.ops import cuda_resize, cuda_sampling  # noqa: F401  (they register the kernels)
from semask_cli.ops.deform_conv2d import deform_conv2d
from semask_cli.ops.ms_deform_attn import ms_deform_attn
from semask_cli.ops.resample import Resample
from semask_cli.ops.resize import resize_accumulate, resize_argmax, resize_sigmoid

__all__ = ["Resample", "deform_conv2d", "ms_deform_attn", "resize_accumulate", "resize_argmax", "resize_sigmoid"]
