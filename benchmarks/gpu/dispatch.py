"""What a pass and a whole prediction ask of a CUDA device, counted without one: fake tensors go through the code.

    python -m benchmarks.gpu.dispatch       rewrites benchmarks/records/gpu_dispatch.csv

Each row is of a network whose caches are full, on a device that has all kernels. `launches` are operators that compute
or copy on the device, of which some launch several kernels; views and allocations are not counted. `attentions` are
calls of torch's fused attention, of which `padded` hand it a bias that it copies first. `casts` are changes of dtype
alone. `syncs` are where the host waits: values read back, and copies from or to memory that is not pinned. The tests
hold the same figures to the record.

Rows of code "before" are kept from the record that there is: of version 0.1.0 as it was before windows shared a gather
and biases were aligned.
"""

from __future__ import annotations

import argparse
import csv
import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from semask_cli.inference import merge, segmenter, stopwatch, views
from semask_cli.inference.config import InferenceConfig, Mode
from semask_cli.inference.device import ChosenPrecision, cast_matmul_weights_, computing
from semask_cli.models import positions, semantic_attention, window_attention, windows
from semask_cli.models.build import build_model
from semask_cli.models.network import Network
from semask_cli.ops import launcher
from semask_cli.zoo import load_zoo

RECORD = Path(__file__).parents[1] / "records" / "gpu_dispatch.csv"
CUDA = torch.device("cuda")
IMAGE = (1000, 1500)
PASSES = (("swin-t-fpn", 512, 683), ("swin-l-mf", 640, 640), ("swin-l-m2f", 640, 640), ("swin-l-m2f-msfapn", 640, 640))
BIAS_ALIGNMENT = 8  # of what torch's attention reads without a copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """One line of the record."""

    code: str
    network: str
    what: str
    precision: str
    launches: int
    attentions: int
    padded: int
    casts: int
    to_device: int
    to_host: int
    syncs: int


class Dispatched(TorchDispatchMode):
    """Counts what is dispatched within it."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.calls: list[tuple[Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        read, written = (
            [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)] for tree in ((args, kwargs), result)
        )
        self.calls.append((func, read + written))
        name = func.name()
        if name.startswith(("aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::nonzero")):
            self.counts["syncs"] += 1
        devices = {tensor.device.type for tensor in read + written}
        if devices == {"cuda"} and not _moves_nothing(func, read, written):
            self.counts["launches"] += 1
            self._look_closer(name, read, written)
        elif devices == {"cpu", "cuda"} and name.startswith(("aten::to.", "aten::_to_copy", "aten::copy_")):
            self.counts["to_host" if written[0].device.type == "cpu" else "to_device"] += 1
            self.counts["syncs"] += 1
        return result

    def _look_closer(self, name: str, read: list[Tensor], written: list[Tensor]) -> None:
        if "scaled_dot_product" in name:
            self.counts["attentions"] += 1
            strides = [stride for bias in read[3:4] if bias.is_floating_point() for stride in bias.stride()[:-1]]
            self.counts["padded"] += any(stride % BIAS_ALIGNMENT for stride in strides)
        self.counts["casts"] += name.startswith(("aten::to.", "aten::_to_copy")) and read[0].dtype != written[0].dtype

    def line(self, *, code: str = "now", **what: str) -> Counts:
        names = ("launches", "attentions", "padded", "casts", "to_device", "to_host", "syncs")
        return Counts(code=code, **what, **{name: self.counts[name] for name in names})


def _moves_nothing(func: Any, read: list[Tensor], written: list[Tensor]) -> bool:
    """A view, or memory that nothing is written to."""
    if func._schema.is_mutable:
        return False
    places = {tensor.untyped_storage()._cdata for tensor in read}
    views = all(tensor.untyped_storage()._cdata in places for tensor in written)
    return views or func.name().startswith(("aten::empty", "aten::new_empty"))


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Within it tensors on "cuda" can be made and computed with, and have no values. No cache keeps any afterwards."""

    def on_cuda(t: Tensor) -> Tensor:
        return torch.empty(t.shape, dtype=t.dtype, device=CUDA)

    @functools.cache
    def window_batches(*size: int, device: torch.device, **how: int) -> tuple[windows.WindowBatch, ...]:
        with unset_fake_temporarily():
            real = windows.window_batches(*size, device=torch.device("cpu"), **how)
        tables = [f.name for f in fields(windows.WindowBatch) if f.name != "borders"]
        return tuple(replace(some, **{name: on_cuda(getattr(some, name)) for name in tables}) for some in real)

    encode = functools.cache(positions._encode.__wrapped__)
    with (
        # Autocast asks for a device before it casts.
        patch.object(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        patch.object(torch.cuda, "is_bf16_supported", lambda *_: True),
        patch.object(launcher, "available", lambda kernel, device: True),
        patch.object(window_attention, "window_batches", window_batches),
        patch.object(semantic_attention, "window_batches", window_batches),
        patch.object(positions, "_encode", encode),
        FakeTensorMode(allow_non_fake_inputs=True),
        torch.inference_mode(),
    ):
        yield


def fake_network(name: str, precision: ChosenPrecision = "fp32") -> Network:
    """A published network on the fake device; within `fake_cuda`."""
    network = build_model(load_zoo().find(name)).requires_grad_(False)
    for module in network.modules():
        for tensors in (module._parameters, module._buffers):
            for key, value in tensors.items():
                if value is not None:
                    moved = torch.empty(value.shape, dtype=value.dtype, device=CUDA)
                    tensors[key] = (
                        nn.Parameter(moved, requires_grad=False) if isinstance(value, nn.Parameter) else moved
                    )
    cast_matmul_weights_(network, precision)
    return network


def count_pass(name: str, height: int, width: int, *, precision: ChosenPrecision, batch: int = 1) -> Dispatched:
    with fake_cuda():
        network = fake_network(name, precision)
        pixels = torch.empty(batch, 3, height, width, device=CUDA)
        with computing(precision, CUDA):
            network.predict(pixels)
            with Dispatched() as dispatched:
                network.predict(pixels)
    return dispatched


def count_predict(name: str, *, mode: Mode, precision: ChosenPrecision) -> Dispatched:
    """From an image in memory to its labels. Pinned memory, which needs a driver, is counted and not made."""

    def to_device(images: list[Any], device: torch.device) -> Tensor:
        dispatched.counts["to_device"] += 1
        return torch.empty(len(images), *images[0].shape, dtype=torch.uint8, device=device)

    def to_host(tensor: Tensor) -> Tensor:
        dispatched.counts.update({"to_host": 1, "syncs": 1})
        with unset_fake_temporarily():
            return torch.zeros(tensor.shape, dtype=tensor.dtype)

    spec = load_zoo().find(name)
    dispatched = Dispatched()
    statistics = functools.cache(lambda device: (torch.empty(3, device=device), torch.empty(3, device=device)))
    with (
        fake_cuda(),
        patch.object(views, "to_device", to_device),
        patch.object(views, "_statistics", statistics),
        patch.object(merge, "to_host", to_host),
        patch.object(merge, "source_range", unset_fake_temporarily()(merge.source_range)),
        patch.object(stopwatch, "_cuda_event", lambda device: 0.0),
    ):
        config = InferenceConfig(mode=mode, crop=spec.crop, stride=spec.stride)
        network = fake_network(name, precision)
        engine = segmenter.Segmenter(network, spec, config=config, device=CUDA, precision=precision, digest="")
        image = np.zeros((*IMAGE, 3), np.uint8)
        engine.predict(image)
        dispatched.counts.clear()
        with dispatched:
            engine.predict(image)
    return dispatched


def lines() -> Iterator[Counts]:
    precisions: tuple[ChosenPrecision, ...] = ("fp32", "bf16")
    for name, height, width in PASSES:
        for precision in precisions:
            counted = count_pass(name, height, width, precision=precision)
            yield counted.line(network=name, what=f"pass {height} x {width}", precision=precision)
    modes: tuple[Mode, ...] = ("whole", "slide")
    for name in ("swin-t-fpn", "swin-l-m2f"):
        for mode in modes:
            counted = count_predict(name, mode=mode, precision="bf16")
            yield counted.line(network=name, what=f"predict {IMAGE[0]} x {IMAGE[1]}, {mode}", precision="bf16")


def kept() -> Iterator[dict[str, str]]:
    """The rows of the record that cannot be counted again."""
    with RECORD.open(newline="") as file:
        yield from (row for row in csv.DictReader(file) if row["code"] != "now")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = [*kept(), *(asdict(line) for line in lines())]
    with RECORD.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Counts)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
