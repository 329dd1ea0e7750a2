"""Registration of operators in the namespace `semask` of torch.library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_library = torch.library.Library("semask", "FRAGMENT")


def define_operator(schema: str, *, reference: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """Define `semask::NAME` and return `torch.ops.semask.NAME`.

    (`torch.library.custom_op` would wrap each call in autograd, at a higher cost than a tile of an image.)

    Args:
        schema: as in "NAME(Tensor x) -> Tensor".
        reference: the formulation in plain torch, for every device without a kernel. It defines what a kernel must
            compute.
        fake: the shapes and dtypes of the result, for torch.compile and torch.export.
    """
    name = schema.partition("(")[0]
    _library.define(schema, tags=torch.Tag.pt2_compliant_tag)
    _library.impl(name, reference, "CompositeExplicitAutograd")
    torch.library.register_fake(f"semask::{name}", fake, lib=_library)
    operator: Callable[..., Any] = getattr(torch.ops.semask, name)
    return operator


def cuda_kernel(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator for the implementation of `semask::name` on CUDA tensors."""
    return torch.library.impl(_library, name, "CUDA")
