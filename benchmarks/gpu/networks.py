"""The networks with random weights: eagerly, in a CUDA graph, compiled; transformers' Mask2Former beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import semask_cli
from benchmarks.gpu.bench import WRONG, Bench, Cases, Line, Measured
from benchmarks.gpu.operators import TOLERANCE
from benchmarks.gpu.rivals import transformers_mask2former
from semask_cli.inference.cuda_graphs import CudaGraphs
from semask_cli.inference.device import ChosenPrecision, cast_matmul_weights_, computing
from semask_cli.models.network import Network
from semask_cli.models.prediction import Prediction

NETWORKS = {"swin-l-m2f": 640, "swin-t-fpn": 512}
TINY = {"swin-t-fpn": 64}
RIVAL = "transformers Mask2Former Swin-L"
torch._dynamo.config.recompile_limit = 64  # each stage of a backbone is a variant of the same code


def networks(bench: Bench) -> Cases:
    """Eagerly and in a CUDA graph, a table of a graph's kernels beside it; transformers' Mask2Former eagerly."""
    for name, size in (TINY if bench.tiny else NETWORKS).items():
        for mode in ("graph", "eager"):
            for precision in ("bf16", "fp32"):
                for batch in (1,) if bench.tiny else (1, 8):
                    line = Line(section="network", name=name, case=f"{size} x {size}", precision=precision, batch=batch)
                    yield replace(line, mode=mode), partial(_time, bench, line, mode, size)
    line = Line(section="network", name=RIVAL, case="640 x 640", precision="bf16", mode="eager")
    yield line, partial(_time, bench, line, "eager", 640)


def compiled(bench: Bench) -> Cases:
    """By torch.compile, in one graph: it takes minutes."""
    for name, size in (TINY if bench.tiny else NETWORKS).items():
        line = Line(section="compile", name=name, case=f"{size} x {size}", precision="bf16", mode="compile")
        yield line, partial(_time, bench, line, "compile", size)


@torch.inference_mode()
def _time(bench: Bench, line: Line, mode: str, size: int) -> Measured:
    precision: ChosenPrecision = "bf16" if line.precision == "bf16" else "fp32"
    network = _network(line.name, precision, bench.device)
    pixels = bench.random(line.batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    run = torch.compile(network, dynamic=False, fullgraph=True) if mode == "compile" else network
    cuda = bench.device.type == "cuda"
    graphs = CudaGraphs(network) if mode == "graph" and cuda and isinstance(network, Network) else None

    def forward() -> object:
        with computing(precision, bench.device):
            return graphs.predict(pixels) if graphs else run(pixels)

    flop = line.batch * _flop(line.name, bench.device, size)
    measured = bench.timed([forward], graph=False, flop=flop, precision=precision)
    if mode == "graph" and bench.device.type == "cuda":
        _profile(forward, bench.folder / f"profile-{line.name}-{line.precision}-{line.batch}.txt")
    return measured | _replayed_right(graphs, pixels, precision) if graphs else measured


def _profile(forward: Callable[[], object], path: Path) -> None:
    """The thirty kernels that take longest."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        forward()
        torch.cuda.synchronize()
    path.write_text(profiler.key_averages().table(sort_by="cuda_time_total", row_limit=30))


def _replayed_right(graphs: CudaGraphs, pixels: Tensor, precision: ChosenPrecision) -> Measured:
    """How far a replay for pixels that the graph has not seen is from a plain pass."""
    if not graphs.captured:
        return {"note": f"{WRONG}: the pass was not captured"}
    unseen = torch.randn_like(pixels)
    with computing(precision, pixels.device):
        replayed, plain = graphs.predict(unseen), graphs.network.predict(unseen)
    found, expected = (torch.cat([tensor.flatten() for tensor in _tensors(p)]) for p in (replayed, plain))
    error = float((found - expected).abs().max() / expected.abs().max())
    return {"relative_error": error, "note": "right" if error <= TOLERANCE[precision] else WRONG}


def _tensors(predictions: list[Prediction]) -> list[Tensor]:
    values = (getattr(p, field.name) for p in predictions for field in fields(p))  # type: ignore[arg-type]
    return [value for value in values if isinstance(value, Tensor)]


@cache
def _flop(name: str, device: torch.device, size: int) -> int:
    """Of one image, as torch counts them; sampling and softmax are not in it."""
    with FlopCounterMode(display=False) as counter:
        _network(name, "fp32", device)(torch.zeros(1, 3, size, size, device=device))
    return counter.get_total_flops()


_kept: dict[tuple[str, str], nn.Module] = {}


def _network(name: str, precision: str, device: torch.device) -> nn.Module:
    """The network on the device, semask's with its weights in `precision`, as `load` makes it. One is kept."""
    if (name, precision) not in _kept:
        _kept.clear()
        network = transformers_mask2former() if name == RIVAL else semask_cli.build_model(name)
        network = network.to(device).requires_grad_(False)
        if precision == "bf16" and name != RIVAL:
            cast_matmul_weights_(network, precision)
        _kept[name, precision] = network
    return _kept[name, precision]
