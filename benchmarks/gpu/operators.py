"""The operators of semask_cli.ops: checked against float64, and timed beside the usual formulations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.bench import WRONG, Bench, Cases, Line, Measured
from benchmarks.gpu.rivals import (
    attention_by_grid_sample,
    attention_by_thread_per_channel,
    convolution_by_torchvision,
    enlarged,
    locations_and_weights,
)
from semask_cli.ops import Resample, deform_conv2d, ms_deform_attn, resize_accumulate, resize_argmax, resize_sigmoid
from semask_cli.ops.deform_conv2d import reference_deform_conv2d
from semask_cli.ops.ms_deform_attn import reference_ms_deform_attn
from semask_cli.ops.status import why_plain
from semask_cli.ops.window_attention import WINDOWS, window_attention

HEADS, CHANNELS, POINTS, GROUPS, QUERIES, CLASSES = 8, 32, 4, 8, 100, 150
TOLERANCE = {"fp32": 1e-5, "fp16": 1e-2, "bf16": 1e-2}  # relative to the largest number of the float64 result
ROTATION_BYTES = 256 << 20
STRIP_BYTES = 32 << 20

Inputs = tuple[Any, ...]
Sizes = tuple[tuple[int, ...], tuple[int, ...]]  # the heights and the widths that maps go through


def attention_inputs(bench: Bench, levels: list[int], *, batch: int, precision: str) -> Inputs:
    """Of `ms_deform_attn` as in the encoder: the queries are the pixels, the offsets a few pixels long."""
    sizes = list(zip(levels[::2], levels[1::2], strict=True))
    tokens = sum(h * w for h, w in sizes)
    random = partial(bench.random, batch, tokens, HEADS, precision=precision)
    value, offsets, logits = random(CHANNELS), random(len(sizes), POINTS, 2) * 2, random(len(sizes) * POINTS)
    return value, levels, torch.cat([_centres(h, w, bench.device) for h, w in sizes]), offsets, logits


def _centres(height: int, width: int, device: torch.device) -> Tensor:
    y, x = ((torch.arange(length, device=device) + 0.5) / length for length in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)


def convolution_inputs(bench: Bench, height: int, width: int, *, batch: int, precision: str) -> Inputs:
    """Of `deform_conv2d` as in FaPN, channels last."""
    channels = GROUPS * CHANNELS
    x, offset_mask = (
        bench.random(batch, count, height, width, precision=precision).contiguous(memory_format=torch.channels_last)
        for count in (channels, 27 * GROUPS)
    )
    weight = bench.random(channels, channels, 3, 3, precision=precision) / 48
    return x, offset_mask, weight, bench.random(channels, precision=precision), GROUPS


def window_inputs(bench: Bench, size: tuple[int, int], window: int, *, precision: str, heads: int = 6) -> Inputs:
    """Of `window_attention`, but for the window and its shift."""
    random = partial(bench.random, precision=precision)
    qkv, padding = random(1, *size, 3, heads, CHANNELS), random(3, heads, CHANNELS)
    return qkv, padding, bench.random(heads, (2 * window - 1) ** 2)


def levels_of(image: tuple[int, int]) -> list[int]:
    """Heights and widths of the features at 1/32, 1/16 and 1/8 of an image."""
    return [side // stride for stride in (32, 16, 8) for side in image]


def bytes_of(*inputs: Any) -> int:
    return sum(x.numel() * x.element_size() for x in inputs if isinstance(x, Tensor))


# Checks ---------------------------------------------------------------------------------------------------------------


def checks(bench: Bench) -> Cases:
    """Every kernel against the plain formulation in float64."""
    side = 64 if bench.tiny else 320
    for precision in TOLERANCE:
        line = Line(section="check", name="ms_deform_attn", precision=precision, batch=2)
        for levels in (levels_of((side, side)), [7, 9, 0, 5, 1, 30], [7, 9, 20, 1, 1, 1]):
            for queries in (None, 50):
                case = f"levels {levels}, {queries or 'all'} queries"
                yield replace(line, case=case), partial(_check_attention, bench, precision, levels, queries)
        line = Line(section="check", name="deform_conv2d", precision=precision, batch=2)
        for size in ((side // 4, side // 4), (1, 33), (29, 1)):
            yield replace(line, case=f"{size[0]} x {size[1]}"), partial(_check_convolution, bench, precision, size)
    for precision, window, shift in product(TOLERANCE, WINDOWS, (0, 3)):
        line = Line(section="check", name="window_attention", case=f"{window}, shift {shift}", precision=precision)
        yield line, partial(_check_windows, bench, precision, window, shift)
    for height, width in ((side, side + 12), (side + 37, 2 * side - 5), (side // 2, side // 3)):
        sizes = (side // 4, side, height), (side // 4 + 3, side + 12, width)
        line = Line(section="check", name="resize", case=f"heights {sizes[0]}, widths {sizes[1]}", precision="fp32")
        yield replace(line, name="resize_argmax"), partial(_check_labels, bench, sizes)
        for operator, run in (
            ("resize_sigmoid", _masks),
            ("resize_accumulate", _scores),
            ("resize_accumulate", partial(_scores, softmax=True)),
        ):
            mode = "softmax" if isinstance(run, partial) else ""
            yield replace(line, name=operator, mode=mode), partial(_check_resize, bench, operator, run, sizes)


def _check_attention(bench: Bench, precision: str, levels: list[int], queries: int | None) -> Measured:
    value, sizes, reference, *raw = attention_inputs(bench, levels, batch=2, precision=precision)
    inputs = value, sizes, reference[:queries], *(x[:, :queries] for x in raw)
    return check(bench, "ms_deform_attn", ms_deform_attn, inputs, precision)


def _check_convolution(bench: Bench, precision: str, size: tuple[int, int]) -> Measured:
    inputs = convolution_inputs(bench, *size, batch=2, precision=precision)
    return check(bench, "deform_conv2d", deform_conv2d, inputs, precision)


def _check_windows(bench: Bench, precision: str, window: int, shift: int) -> Measured:
    run = partial(window_attention, window=window, shift=shift)
    return check(bench, "window_attention", run, window_inputs(bench, (33, 50), window, precision=precision), precision)


def _check_resize(bench: Bench, operator: str, run: Callable[..., Tensor], sizes: Sizes) -> Measured:
    return check(bench, operator, run, (bench.random(CLASSES, sizes[0][0], sizes[1][0]), sizes), "fp32")


def check(bench: Bench, operator: str, run: Callable[..., Tensor], inputs: Inputs, precision: str) -> Measured:
    """The operator's result beside that of the same call in float64."""
    expected = run(*(x.double() if isinstance(x, Tensor) else x for x in inputs))
    with _poisoned():
        result = run(*inputs).double()
    return _verdict(bench, operator, (result - expected).abs().max() / expected.abs().max(), precision)


def _check_labels(bench: Bench, sizes: Sizes) -> Measured:
    """The error is by how much the logit of a chosen label misses the best one."""
    maps = bench.random(CLASSES, sizes[0][0], sizes[1][0])
    with _poisoned():
        labels = _labels(maps, sizes)
    logits = enlarged(maps.double(), *sizes)
    missed = logits.amax(0) - logits.gather(0, labels[None].long())[0]
    return _verdict(bench, "resize_argmax", missed.max() / logits.abs().max(), "fp32")


def _verdict(bench: Bench, operator: str, error: Tensor, precision: str) -> Measured:
    plain = why_plain(operator, bench.device)
    right = bool(error <= TOLERANCE[precision]) and (plain is None or bench.device.type != "cuda")  # NaN is not
    note = f"{'right' if right else WRONG}, {f'plain formulation: {plain}' if plain else 'kernel'}"
    return {"relative_error": float(error), "note": note}


@contextmanager
def _poisoned() -> Iterator[None]:
    """Within it, new tensors begin as NaN, so that a number that was never written is noticed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(False)


# What merging does: maps to labels or scores at the image's size ----------------------------------------------------


def _whole(sizes: Sizes) -> Resample:
    """All rows, all columns, of whole maps."""
    heights, widths = sizes
    return Resample(heights, widths, range(heights[-1]), range(widths[-1]))


def _labels(maps: Tensor, sizes: Sizes) -> Tensor:
    return resize_argmax(maps, _whole(sizes))


def _scores(maps: Tensor, sizes: Sizes, *, softmax: bool = False) -> Tensor:
    dtype = torch.promote_types(maps.dtype, torch.float32)
    scores = maps.new_zeros(len(maps), sizes[0][-1], sizes[1][-1], dtype=dtype)
    resize_accumulate(scores, maps, _whole(sizes), softmax=softmax)
    return scores


def _masks(maps: Tensor, sizes: Sizes) -> Tensor:
    return resize_sigmoid(maps, _whole(sizes))


def _mask_labels(maps: Tensor, sizes: Sizes) -> Tensor:
    """By strips, so that masks and scores stay in the cache."""
    (_, height), (_, width) = sizes
    classes = maps.new_full((CLASSES, len(maps)), 1 / CLASSES)
    step = max(1, STRIP_BYTES // (4 * width * len(maps)))
    spans = (range(y, min(y + step, height)) for y in range(0, height, step))
    strips = (resize_sigmoid(maps, Resample(*sizes, span, range(width))) for span in spans)
    return torch.cat([(classes @ strip.flatten(1)).argmax(0).to(torch.uint8) for strip in strips])


def _mask_labels_at_full_size(maps: Tensor, sizes: Sizes) -> Tensor:
    classes = maps.new_full((CLASSES, len(maps)), 1 / CLASSES)
    scores = torch.einsum("cq,qhw->chw", classes, enlarged(maps, *sizes).sigmoid())
    return scores.argmax(0).to(torch.uint8)


MERGES: tuple[tuple[str, int, dict[str, Callable[[Tensor, Sizes], Tensor]]], ...] = (
    (
        "labels of 150 classes",
        CLASSES,
        {"semask": _labels, "at full size": lambda maps, sizes: enlarged(maps, *sizes).argmax(0).to(torch.uint8)},
    ),
    (
        "softmax of 150 classes",
        CLASSES,
        {
            "semask": partial(_scores, softmax=True),
            "at full size": lambda maps, sizes: enlarged(maps, *sizes).softmax(0),
        },
    ),
    ("labels of 100 masks", QUERIES, {"semask": _mask_labels, "at full size": _mask_labels_at_full_size}),
)


# Times ----------------------------------------------------------------------------------------------------------------


def times(bench: Bench) -> Cases:
    """Each operator at the sizes of the networks, and what it replaces."""
    for image in [(64, 64)] if bench.tiny else [(640, 640), (1024, 2048)]:
        line = Line(section="operator", name="", case=f"{image[0]} x {image[1]}")
        for precision in TOLERANCE:
            of = replace(line, name="ms_deform_attn", precision=precision)
            yield replace(of, mode="semask"), partial(_time_attention, bench, ms_deform_attn, image, of)
            of = replace(of, mode="a thread per channel")
            yield of, partial(_time_attention, bench, attention_by_thread_per_channel, image, of)
            for mode, rival in (("grid_sample", attention_by_grid_sample), ("embedding_bag", reference_ms_deform_attn)):
                yield replace(of, mode=mode), partial(_time_attention, bench, rival, image, of)
            of = replace(of, batch=8, mode="semask")
            yield of, partial(_time_attention, bench, ms_deform_attn, image, of)
            of = replace(line, name="deform_conv2d", precision=precision)
            for mode, run in (
                ("semask", deform_conv2d),
                ("torchvision", convolution_by_torchvision),
                ("embedding_bag", reference_deform_conv2d),
            ):
                yield replace(of, mode=mode), partial(_time_convolution, bench, run, image, precision)
        for name, count, modes in MERGES:
            for mode, run in modes.items():
                of = replace(line, name=name, precision="fp32", mode=mode)
                yield of, partial(_time_merge, bench, run, count, image)


def _time_attention(bench: Bench, run: Callable[..., Tensor], image: tuple[int, int], line: Line) -> Measured:
    make = partial(attention_inputs, bench, levels_of(image), batch=line.batch, precision=line.precision)
    sets = rotating(make)
    nbytes = bytes_of(*sets[0], sets[0][0])  # the output is as large as the value
    if run is attention_by_thread_per_channel:
        sets = [(value, levels, *locations_and_weights(levels, *raw)) for value, levels, *raw in sets]
    # The plain formulation copies small tables to the device, which no graph can.
    graph = run is not reference_ms_deform_attn
    return bench.timed([partial(run, *inputs) for inputs in sets], nbytes=nbytes, graph=graph)


def _time_convolution(bench: Bench, run: Callable[..., Tensor], image: tuple[int, int], precision: str) -> Measured:
    height, width = (side // 4 for side in image)
    sets = rotating(partial(convolution_inputs, bench, height, width, batch=1, precision=precision))
    nbytes, flop = bytes_of(*sets[0], sets[0][0]), 2 * height * width * 9 * (GROUPS * CHANNELS) ** 2
    runs, graph = [partial(run, *inputs) for inputs in sets], run is not reference_deform_conv2d
    return bench.timed(runs, nbytes=nbytes, flop=flop, precision=precision, graph=graph)


def _time_merge(bench: Bench, run: Callable[..., Tensor], count: int, image: tuple[int, int]) -> Measured:
    height, width = image
    sizes = (height // 4, height), (width // 4, width)
    sets = rotating(lambda: (bench.random(count, height // 4, width // 4), sizes))
    nbytes = bytes_of(sets[0][0], run(*sets[0]))
    return bench.timed([partial(run, *inputs) for inputs in sets], nbytes=nbytes)


def rotating(make: Callable[[], Inputs]) -> list[Inputs]:
    """Sets of inputs, so many that none is in the L2 cache any more when its turn comes."""
    first = make()
    count = min(16, max(2, -(-ROTATION_BYTES // bytes_of(*first))))
    return [first, *(make() for _ in range(count - 1))]
