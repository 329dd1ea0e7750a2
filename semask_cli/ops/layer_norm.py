"""LayerNorm of a branch added to its residual («Layer Normalization», Ba et al., arXiv 1607.06450).

In a half type, torch launches four kernels for it on a GPU: the sum, its cast to float32, the norm, and the cast for
the next layer. kernels/add_layer_norm.cu fuses them; otherwise torch's own run.
"""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int, c_longlong, c_void_p

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.ops import launcher
from semask_cli.ops.nvrtc import Kernel
from semask_cli.ops.registry import cuda_kernel, define_operator
from semask_cli.ops.storage import STORAGE, dense

CHANNELS = 256  # of a row, per eight values in a lane
MAX_CHANNELS = 6 * CHANNELS
ROWS = 4  # per block, one warp each


def add_layer_norm(x: Tensor, branch: Tensor | None, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """The sum of `x` and `branch`, and its norm.

    Args:
        x: (..., C), float32 or a half type. Without a branch it is the sum.
        branch: the same shape, float32 or a half type.
        norm: of C channels, with weight and bias.

    Returns:
        The sum, and its norm: by the kernel in the branch's dtype, otherwise in the dtype that `norm` returns. Mean and
        deviation are float32.
    """
    if branch is None:
        return x, norm(x)
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or not has_kernel(x, branch):
        x = x + branch
        return x, norm(x)
    added, normed = _add_layer_norm(x, branch, norm.weight, norm.bias, norm.eps)
    return added, normed


def has_kernel(x: Tensor, branch: Tensor) -> bool:
    """Whether a kernel supports these tensors; it is compiled and loaded."""
    if x.device.type != "cuda" or x.shape != branch.shape or not {x.dtype, branch.dtype} <= STORAGE.keys():
        return False
    if torch.promote_types(x.dtype, branch.dtype) != x.dtype or x.shape[-1] % 8 or x.shape[-1] > MAX_CHANNELS:
        return False
    return launcher.available(norm_kernel(x.dtype, branch.dtype, channels=x.shape[-1]), x.device)


def norm_kernel(x: torch.dtype, branch: torch.dtype, *, channels: int) -> Kernel:
    """The kernel for these dtypes and number of channels."""
    eights = -(-channels // CHANNELS)
    return Kernel("add_layer_norm", (("SUM", STORAGE[x]), ("BRANCH", STORAGE[branch]), ("EIGHTS", eights)))


def reference_add_layer_norm(
    x: Tensor, branch: Tensor, weight: Tensor, bias: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """The sum and its norm in plain torch, in the dtypes of the kernel."""
    added = x + branch
    wide = torch.promote_types(added.dtype, torch.float32)
    normed = F.layer_norm(added.to(wide), weight.shape, weight.to(wide), bias.to(wide), epsilon)
    return added, normed.to(branch.dtype)


_add_layer_norm = define_operator(
    "add_layer_norm(Tensor x, Tensor branch, Tensor weight, Tensor bias, float epsilon) -> (Tensor, Tensor)",
    reference=reference_add_layer_norm,
    fake=lambda x, branch, weight, bias, epsilon: (
        x.new_empty(x.shape, dtype=torch.promote_types(x.dtype, branch.dtype)),
        branch.new_empty(branch.shape),
    ),
)


@cuda_kernel("add_layer_norm")
def cuda_add_layer_norm(
    x: Tensor, branch: Tensor, weight: Tensor, bias: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """`semask::add_layer_norm` by kernels/add_layer_norm.cu.

    Raises:
        ValueError: weight or bias are not of the rows' channels.
    """
    channels = x.shape[-1]
    if weight.shape != (channels,) or bias.shape != (channels,):
        shapes = f"{tuple(weight.shape)} and {tuple(bias.shape)}"
        raise ValueError(f"weight and bias of {shapes} do not fit rows of {channels}")
    if not x.numel() or not has_kernel(x, branch):
        return reference_add_layer_norm(x, branch, weight, bias, epsilon)
    x, branch, weight, bias = (dense(t) for t in (x, branch, weight.float(), bias.float()))
    added, normed = x.new_empty(x.shape), branch.new_empty(branch.shape)
    rows = x.numel() // channels
    launcher.launch(
        norm_kernel(x.dtype, branch.dtype, channels=channels),
        x.device,
        grid=(-(-rows // ROWS), 1, 1),
        threads=32 * ROWS,
        arguments=NormArguments(
            *(t.data_ptr() for t in (x, branch, weight, bias, added, normed)), rows, channels, epsilon
        ),
    )
    return added, normed


class NormArguments(ctypes.Structure):
    """`Arguments` of kernels/add_layer_norm.cu."""

    _fields_ = (
        *((name, c_void_p) for name in ("residual", "branch", "weight", "bias", "sum", "normed")),
        ("rows", c_longlong),
        ("channels", c_int),
        ("epsilon", c_float),
    )
