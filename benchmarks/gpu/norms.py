"""A branch added to its residual, and their norm: checked against float64, and timed beside torch's launches for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu.bench import Bench, Cases, Line, Measured
from benchmarks.gpu.operators import TOLERANCE, bytes_of, check, rotating

EPSILON = 1e-5

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
Norm = Callable[..., tuple[Tensor, Tensor]]


def _inputs(bench: Bench, rows: int, channels: int, precision: str) -> Inputs:
    """A residual and a branch, weight and bias; in Swin-L's first stage, of 192 channels, the residual is float32."""
    residual = bench.random(rows, channels, precision="fp32" if channels == 192 else precision)
    return residual, bench.random(rows, channels, precision=precision), bench.random(channels), bench.random(channels)


def _by_kernel(x: Tensor, branch: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    added, normed = torch.ops.semask.add_layer_norm(x, branch, weight, bias, EPSILON)
    return added, normed


def _by_torch(x: Tensor, branch: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """As autocast has it."""
    added = x + branch
    return added, F.layer_norm(added.float(), weight.shape, weight, bias, EPSILON).to(branch.dtype)


def norm_checks(bench: Bench) -> Cases:
    for precision, channels in product(TOLERANCE, (96, 192, 1536)):
        line = Line(section="check", name="add_layer_norm", case=f"{channels} channels", precision=precision)
        yield line, partial(_check_norm, bench, precision, channels)


def _check_norm(bench: Bench, precision: str, channels: int) -> Measured:
    inputs = _inputs(bench, 77, channels, precision)
    return check(bench, "add_layer_norm", lambda *of: _by_kernel(*of)[1], inputs, precision)


def norm_times(bench: Bench) -> Cases:
    """Rows of swin-l's stages at 640 x 640."""
    for rows, channels in ((64, 192),) if bench.tiny else ((25600, 192), (6400, 384), (1600, 768), (400, 1536)):
        for precision in ("bf16", "fp32"):
            line = Line(section="operator", name="add_layer_norm", case=f"{rows} x {channels}", precision=precision)
            for mode, run in (("semask", _by_kernel), ("torch", _by_torch)):
                yield replace(line, mode=mode), partial(_time_norm, bench, run, rows, channels, precision)


def _time_norm(bench: Bench, run: Norm, rows: int, channels: int, precision: str) -> Measured:
    sets = rotating(lambda: _inputs(bench, rows, channels, precision))
    nbytes = bytes_of(*sets[0], sets[0][0], sets[0][1])  # sum and norm are as large as what they are made of
    return bench.timed([partial(run, *inputs) for inputs in sets], nbytes=nbytes)
