"""The networks with random weights: eagerly, in a CUDA graph, compiled; transformers' Mask2Former beside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache, partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import semask_cli
from gpu_bench import Bench, Cases, Line, Measured
from gpu_rivals import transformers_mask2former

NETWORKS = {"swin-t-fpn": 512, "swin-l-fpn": 640, "swin-l-m2f": 640, "swin-l-m2f-msfapn": 640}
RIVAL = "transformers Mask2Former Swin-L"
MODES = ("eager", "graph", "compile")
torch._dynamo.config.recompile_limit = 64  # each stage of a backbone is a variant of the same code


def networks(bench: Bench) -> Cases:
    """What takes long to prepare, compiling, comes last."""
    sizes = {"swin-t-fpn": 64, "swin-l-m2f": 64} if bench.tiny else NETWORKS
    rival_size = sizes["swin-l-m2f"]
    for mode in MODES:
        for name, size in (*sizes.items(), *([(RIVAL, rival_size)] if mode == "eager" else [])):
            for precision in ("fp32", "bf16"):
                for batch in (1,) if bench.tiny else (1, 8):
                    line = Line(section="network", name=name, case=f"{size} x {size}", precision=precision, batch=batch)
                    yield replace(line, mode=mode), partial(_time, bench, line, mode, size)


@torch.inference_mode()
def _time(bench: Bench, line: Line, mode: str, size: int) -> Measured:
    network = _network(line.name, bench.device)
    pixels = bench.random(line.batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    run = torch.compile(network, dynamic=False) if mode == "compile" else network

    def forward() -> object:
        with _computing_in(line.precision, bench.device):
            return run(pixels)

    flop = line.batch * _flop(line.name, bench.device, size)
    return bench.timed([forward], graph=mode == "graph", flop=flop, precision=line.precision)


@cache
def _flop(name: str, device: torch.device, size: int) -> int:
    """Of one picture, as torch counts them; sampling and softmax are not in it."""
    with FlopCounterMode(display=False) as counter:
        _network(name, device)(torch.zeros(1, 3, size, size, device=device))
    return counter.get_total_flops()


_kept: dict[str, nn.Module] = {}


def _network(name: str, device: torch.device) -> nn.Module:
    """The network on the device. One at a time is kept."""
    if name not in _kept:
        _kept.clear()
        build: Callable[[], nn.Module] = (
            transformers_mask2former if name == RIVAL else partial(semask_cli.build_model, name)
        )
        _kept[name] = build().to(device).requires_grad_(False)
    return _kept[name]


def _computing_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
