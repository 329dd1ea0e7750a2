"""Torch's attention in the windows of swin-l and swin-t: each backend's first call for a shape, and those after."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu.bench import WRONG, Bench, Cases, Line, Measured
from benchmarks.gpu.operators import window_inputs
from semask_cli.inference.device import ATTENTION
from semask_cli.models.window_attention import BIAS_ALIGNMENT, WindowAttention
from semask_cli.ops.window_attention import window_attention

# (windows, heads, tokens) of an image of 640 x 640, and of swin-t's at 512 x 683
SHAPES = ((169, 6, 144), (49, 12, 144), (9, 24, 144), (1, 48, 144), (432, 3, 49), (24, 12, 49))
HEAD = 32
BACKENDS = (SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH)
TOLERANCE = 2e-2


def attention(bench: Bench) -> Cases:
    backends = (SDPBackend.MATH,) if bench.device.type == "cpu" else BACKENDS
    for shape in SHAPES[-1:] if bench.tiny else SHAPES:
        for backend in backends:
            line = Line(section="attention", name=backend.name, case=" x ".join(map(str, shape)), precision="bf16")
            yield line, partial(_time, bench, backend, shape)

    maps = ((20, 48),) if bench.tiny else ((160, 6), (80, 12), (40, 24), (20, 48))
    for (side, heads), precision, mode in product(maps, ("bf16", "fp32"), ("kernel", "torch")):
        case = f"map of {side} x {side}, {heads} heads, whole block"
        line = Line(section="attention", name="semask", case=case, precision=precision, mode=mode)
        yield line, partial(_block, bench, line, side, heads)


@torch.inference_mode()
def _block(bench: Bench, line: Line, side: int, heads: int) -> Measured:
    """Partition, shift, attention and back: the operator, by its kernel where there is one, or torch's attention."""
    qkv, padding, table = window_inputs(bench, (side, side), 12, precision=line.precision, heads=heads)
    if line.mode == "kernel":
        run = partial(window_attention, qkv, padding, table, 12, 6)
    else:
        block = WindowAttention(HEAD * heads, window=12, shift=6, heads=heads).to(bench.device)
        run = partial(block.attend_by_tables, qkv.flatten(3))
    with sdpa_kernel(ATTENTION) if bench.device.type == "cuda" else nullcontext():
        return bench.timed([run], graph=bench.device.type == "cuda")


@torch.inference_mode()
def _time(bench: Bench, backend: SDPBackend, shape: tuple[int, int, int]) -> Measured:
    windows, heads, tokens = shape
    q, k, v = (bench.random(windows, heads, tokens, HEAD, precision="bf16") for _ in range(3))
    bias = bench.random(1, heads, tokens, tokens + -tokens % BIAS_ALIGNMENT, precision="bf16")[..., :tokens]
    expected = F.scaled_dot_product_attention(*(t.double() for t in (q, k, v)), attn_mask=bias.double())
    with sdpa_kernel(backend):
        run = partial(F.scaled_dot_product_attention, q, k, v, attn_mask=bias)
        bench.wait()
        start = time.perf_counter()
        result = run()
        bench.wait()
        first = 1000 * (time.perf_counter() - start)
        measured = bench.timed([run], graph=False)
    error = float((result.double() - expected).abs().max() / expected.abs().max())
    right = "right" if error <= TOLERANCE else WRONG
    return measured | {"relative_error": error, "note": f"{right}, first call {first:.1f} ms"}
