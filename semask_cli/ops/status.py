"""The kernels of the published networks, and whether they run."""

from __future__ import annotations

from functools import partial

import torch

from semask_cli.ops import launcher
from semask_cli.ops.bindings import KernelError
from semask_cli.ops.cuda_resize import resize_kernel
from semask_cli.ops.cuda_sampling import plan_sampling
from semask_cli.ops.layer_norm import norm_kernel
from semask_cli.ops.nvrtc import Kernel
from semask_cli.ops.storage import STORAGE
from semask_cli.ops.window_attention import WINDOWS, window_kernel

PLAIN = {
    "ms_deform_attn": "embedding_bag over a table of all levels",
    "deform_conv2d": "embedding_bag and matrix products",
    "window_attention": "torch's attention between a gather and a scatter",
    "add_layer_norm": "a sum and torch's norm",
    "resize_argmax": "matrix products and an argmax",
    "resize_accumulate": "matrix products and a sum",
    "resize_sigmoid": "matrix products and a sigmoid",
}
"""The plain formulation of each operator, in a few words."""


def network_kernels() -> dict[str, list[Kernel]]:
    """The kernels of each operator, for the heads, groups, channels, levels and points of the published networks.

    Maps are float32 and enlarged at least threefold (less would need a kernel with a larger window).
    """
    attentions = (
        plan_sampling("ms_deform_attn", dtype, dtype, 8, 32, HEADS=8, LEVELS=3, POINTS=4, TILED=1) for dtype in STORAGE
    )
    columns = (plan_sampling("deform_columns", dtype, dtype, 8, 32, GROUPS=8) for dtype in STORAGE)
    # Swin-L's stages; the first one has a float32 residual
    norms = (((torch.float32, torch.bfloat16), 192), *(((dtype, dtype), 1536) for dtype in STORAGE))
    resize = partial(resize_kernel, maps=torch.float32, window=4)
    return {
        "ms_deform_attn": [plan.kernel for plan in attentions if plan],
        "deform_conv2d": [plan.kernel for plan in columns if plan],
        "window_attention": [window_kernel(dtype, window=side) for side in WINDOWS for dtype in STORAGE],
        "add_layer_norm": [norm_kernel(*types, channels=channels) for types, channels in norms],
        "resize_argmax": [resize("resize_argmax")],
        "resize_accumulate": [resize("resize_accumulate", SOFTMAX=softmax) for softmax in (0, 1)],
        "resize_sigmoid": [resize("resize_sigmoid")],
    }


def why_plain(operator: str, device: torch.device) -> str | None:
    """Why the operator's plain formulation runs on this device in the published networks; None if its kernel runs.

    The kernels are compiled and loaded.
    """
    if device.type != "cuda":
        return f"{PLAIN[operator]}; there is no kernel for {device.type}"
    if reason := launcher.why_none():
        return f"{PLAIN[operator]}; {reason}"
    for kernel in network_kernels()[operator]:
        if isinstance(error := launcher.loaded(kernel, device), KernelError):
            variant = " ".join(
                str(value) for key, value in kernel.constants if key in ("VALUE", "SUM", "SOFTMAX", "WINDOW")
            )
            return f"{PLAIN[operator]}; {kernel.name} for {variant}: {error}"
    return None
