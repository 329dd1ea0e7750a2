"""The two custom operators of the mask models, as torch.library operators of the namespace `semask`.

Each file defines one: its schema, its fake for torch.compile, and a formulation in plain torch that runs on every
device and says what a kernel must compute. A kernel registered for a device (key "CUDA") takes precedence there.
"""

from semask_cli.ops.deform_conv2d import deform_conv2d
from semask_cli.ops.ms_deform_attn import ms_deform_attn

__all__ = ["deform_conv2d", "ms_deform_attn"]
