"""What a pass dispatches on a device that has no kernels of ours: torch has all of it for Apple's GPUs.

Without such a GPU its tensors cannot be made. Those of the meta device take its place: neither is a CPU nor CUDA, which
is all that the networks and the operators ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchgen
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchgen.gen import parse_native_yaml
from torchgen.model import DispatchKey

from semask_cli.ops.deform_conv2d import reference_deform_conv2d
from semask_cli.ops.ms_deform_attn import reference_ms_deform_attn
from tests.support.toy_networks import FAMILIES, tiny_network

MATH = "aten::_safe_softmax"  # of scaled_dot_product_attention, which has a kernel of its own on MPS


class Dispatched(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.name()] += 1
        return func(*args, **(kwargs or {}))


@cache
def operators_of_mps() -> set[str]:
    """Names of torch's operators with a kernel for MPS, or one for every device."""
    folder = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native"
    parsed = parse_native_yaml(str(folder / "native_functions.yaml"), str(folder / "tags.yaml"))
    of_mps = parsed.backend_indices[DispatchKey.MPS]
    functions = {str(function.func.name): function for function in parsed.native_functions}
    names = set()
    for name, function in functions.items():
        delegate = functions[str(function.structured_delegate)] if function.structured_delegate else function
        if of_mps.has_kernel(delegate) or function.has_composite_kernel:
            names.add(f"aten::{name}")
    return names


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


@pytest.mark.parametrize("row", FAMILIES.values())
@torch.inference_mode()
def test_a_pass_needs_nothing_that_mps_lacks(row: str) -> None:
    network = tiny_network(row, depths=(2, 1, 1, 1)).to("meta")
    with Dispatched() as seen:
        network.predict(meta(2, 3, 100, 132))
    used = {name for name in seen.calls if not name.startswith("semask::")}
    assert used - {MATH} <= operators_of_mps()


@torch.inference_mode()
def test_the_plain_formulations_need_nothing_that_mps_lacks() -> None:
    sizes, heads = [2, 3, 4, 6], 2
    tokens = 2 * 3 + 4 * 6
    with Dispatched() as seen:
        offsets, logits = meta(1, tokens, heads, 2, 4, 2), meta(1, tokens, heads, 8)
        reference_ms_deform_attn(meta(1, tokens, heads, 8), sizes, meta(tokens, 2), offsets, logits)
        reference_deform_conv2d(meta(1, 16, 9, 8), meta(1, 27 * 2, 9, 8), meta(16, 16, 3, 3), meta(16), 2)
    assert seen.calls.keys() <= operators_of_mps()


@torch.inference_mode()
def test_beside_a_cpu_a_deformable_convolution_is_a_few_products() -> None:
    """Loops over what a CPU's cache holds would leave a GPU idle."""
    with Dispatched() as seen:
        reference_deform_conv2d(meta(1, 16, 160, 160), meta(1, 27 * 8, 160, 160), meta(16, 16, 3, 3), None, 8)
    assert 1 <= seen.calls["aten::mm.out"] <= 2
