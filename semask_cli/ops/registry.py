"""The namespace `semask` of torch.library, and the one way in which operators get into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_library = torch.library.Library("semask", "FRAGMENT")


def define_operator(schema: str, *, reference: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """Define `semask::NAME` and return what calls it, `torch.ops.semask.NAME`.

    (`torch.library.custom_op` would wrap each call in autograd, which costs more than a tile of an image does.)

    Args:
        schema: as in "NAME(Tensor x) -> Tensor".
        reference: the formulation in plain torch. It runs on every device that has no kernel, and says what a kernel
            must compute.
        fake: the shapes and dtypes of the result, for torch.compile and torch.export.
    """
    name = schema.partition("(")[0]
    _library.define(schema, tags=torch.Tag.pt2_compliant_tag)
    _library.impl(name, reference, "CompositeExplicitAutograd")
    torch.library.register_fake(f"semask::{name}", fake, lib=_library)
    operator: Callable[..., Any] = getattr(torch.ops.semask, name)
    return operator


def cuda_kernel(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates what `semask::name` runs on CUDA tensors, instead of the reference formulation."""
    return torch.library.impl(_library, name, "CUDA")
