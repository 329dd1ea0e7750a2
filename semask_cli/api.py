"""The Python API: from a model's name to a segmenter."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch

from semask_cli.checkpoints.loading import load_network
from semask_cli.checkpoints.store import Progress
from semask_cli.datasets import classes
from semask_cli.errors import DeviceError, QuantizationError, UsageError
from semask_cli.inference.config import Engine, InferenceConfig, Mode
from semask_cli.inference.device import (
    Precision,
    cast_matmul_weights_,
    choose_device,
    choose_precision,
    torch_defaults,
)
from semask_cli.inference.memory import limit_gpu_memory, reuse_freed_memory
from semask_cli.inference.merge import MEMORY
from semask_cli.inference.openvino import check_engine
from semask_cli.inference.segmenter import Segmenter
from semask_cli.models.build import build_model as build_network
from semask_cli.models.network import Network
from semask_cli.zoo import ModelSpec, load_zoo

_OWN_CLASSES = "Describe your own dataset in a file: see CONTRIBUTING.md."


@torch_defaults()
def load(
    name: str | None = None,
    *,
    dataset: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    zoo: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    engine: Engine = "torch",
    mode: Mode | None = None,
    crop: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    scales: Sequence[float] | Literal["native", "published"] | None = None,
    flip: bool = False,
    memory_budget: int | None = None,
    cuda_graphs: bool | None = None,
    quantized: str | os.PathLike[str] | None = None,
    random_weights: bool = False,
    progress: Progress | None = None,
) -> Segmenter:
    """Load a published model. Its checkpoint is downloaded on first use.

    On a CPU, freed memory is kept for the next layer (see `inference.memory`).

    Args:
        name: a model of the zoo ("swin-l-m2f"); None is the default model of `dataset`, or of ADE20K.
        dataset: "ade20k", "cityscapes" or "coco-stuff10k"; completes a bare name.
        checkpoint: a .pth, .pkl or .safetensors file to use instead of the published one.
        zoo: a TOML file with your own models.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: of matrix products and convolutions: "fp32", "bf16", "fp16" (for GPUs before Ampere: T4, RTX 20),
            "tf32" (Ampere and later GPUs: float32, whose factors are rounded to ten bits), "int8" (CPUs with VNNI or
            AMX, after `semask quantize`), or "auto": bf16 on Ampere and later GPUs, else fp32.
        engine: what runs the network: "torch", or "openvino" on a CPU, which compiles the network once for each input
            size (`pip install 'semask[export]'`).
        quantized: for int8, a file of `semask quantize -o`; by default the one in the cache.
        mode: "whole" images (the default), or "slide" for sliding windows.
        crop: size of a window in pixels, (height, width) or one number; by default the model's training crop.
        stride: step of the windows, likewise, at most `crop`; by default the published one.
        scales: factors of the model's test size to average over, "published" for its multi-scale list, or "native" for
            the image's own size. None is the test size.
        flip: average with the mirrored image too.
        memory_budget: bytes that an image may take beyond the weights. On a GPU this bounds everything: batches shrink
            and merging moves to the CPU to keep it (default: all memory). On a CPU it bounds class scores and windows
            that wait to be merged (default: 1 GiB), but not the layers of one view or window.
        cuda_graphs: replay the network from CUDA graphs for recurring input sizes; by default on NVIDIA GPUs. Not
            measured yet.
        random_weights: skip the checkpoint, to measure speed; int8 is then calibrated on noise.
        progress: called with (bytes received, total bytes or None) during a download.

    Raises:
        UsageError, CheckpointError, DownloadError, DeviceError, QuantizationError: each says what to do.
    """
    if not isinstance(name, str | None):
        raise UsageError(f"the model {name!r} is no name", "Name a row of the zoo; a file of weights is a checkpoint.")
    zoo_rows = load_zoo(Path(zoo) if zoo else None)
    spec = zoo_rows.find(name, dataset=dataset)
    if spec.num_classes != (named := len(classes(spec.dataset))):
        raise UsageError(f"{spec.name} has {spec.num_classes} classes, but {spec.dataset} has {named}", _OWN_CLASSES)
    if memory_budget is not None and not (isinstance(memory_budget, int) and memory_budget >= 1):
        raise UsageError(f"a memory budget of {memory_budget!r} bytes", "Give a whole number, or leave it out.")
    if random_weights and checkpoint:
        raise UsageError(f"random weights, or those of {checkpoint}", "Give one of them.")
    config = _inference_config(spec, mode=mode, crop=crop, stride=stride, scales=scales, flip=flip)
    chosen_device = choose_device(device)
    if cuda_graphs and chosen_device.type != "cuda":
        raise DeviceError(
            f"CUDA graphs need a CUDA device, not {chosen_device}", "Leave them out, or use --device cuda."
        )
    if chosen_device.type == "cpu":
        reuse_freed_memory()
    chosen_precision = choose_precision(precision, chosen_device)
    check_engine(engine, chosen_device, chosen_precision)
    if quantized and chosen_precision != "int8":
        raise UsageError("a quantized model runs in int8", "Add --precision int8 to --quantized.")
    if random_weights:
        network, digest = build_network(spec).requires_grad_(False).to(chosen_device), ""
    else:
        file = Path(checkpoint) if checkpoint else None
        loaded = load_network(spec, zoo_rows, checkpoint=file, device=chosen_device, progress=progress)
        network, spec, digest = loaded.network, loaded.spec, loaded.digest
    quantization = ""
    if chosen_precision == "int8":
        own = "".join(f" --{option} {file}" for option, file in {"checkpoint": checkpoint, "zoo": zoo}.items() if file)
        prepare = f"semask quantize {spec.name} --images DIR{own}"
        quantization = _quantize_(network, spec, digest, file=quantized, prepare=prepare)
    if chosen_device.type == "cpu":
        network.prepare_for_cpu_()
    if engine == "torch":
        cast_matmul_weights_(network, chosen_precision)
    if memory_budget and chosen_device.type == "cuda":
        limit_gpu_memory(chosen_device, memory_budget)
    return Segmenter(
        network,
        spec,
        config=config,
        device=chosen_device,
        precision=chosen_precision,
        memory=memory_budget or MEMORY,
        engine=engine,
        cuda_graphs=_nvidia(chosen_device) if cuda_graphs is None else cuda_graphs,
        digest=digest,
        own_checkpoint=checkpoint is not None and digest not in {file.sha256.lower() for file in spec.checkpoints},
        quantization=quantization,
    )


@torch_defaults()
def build_model(name: str, *, dataset: str | None = None) -> Network:
    """The bare network of a model, with random weights, in evaluation mode, on the CPU.

    Its input is normalised pixels (B, 3, H, W). A Semantic-FPN returns logits (B, classes, H / 4, W / 4), a mask
    classifier class logits (B, queries, classes + 1) and mask logits (B, queries, H / 4, W / 4).

    Raises:
        UnknownModelError: no such model.
    """
    return build_network(load_zoo().find(name, dataset=dataset))


def _quantize_(
    network: Network, spec: ModelSpec, digest: str, *, file: str | os.PathLike[str] | None, prepare: str
) -> str:
    """Quantize a network in place, and return the SHA-256 of its scales.

    Scales are read from `file`, else found for the checkpoint's `digest`. If there are none, the error suggests the
    command `prepare`. Random weights, which have no digest, are calibrated on noise.
    """
    from semask_cli.quantization.calibration import noise_scales
    from semask_cli.quantization.conversion import quantize_network_
    from semask_cli.quantization.store import find_scales, read_scales

    if not digest and not file:
        quantize_network_(network, noise_scales(network))
        return ""
    path = Path(file) if file else find_scales(spec, digest)
    if path is None:
        raise QuantizationError(f"{spec.name} is not calibrated for int8", f"Calibrate it: {prepare}")
    scales = read_scales(path, network, checkpoint=digest)
    quantize_network_(network, scales.layers)
    return scales.digest


def _inference_config(
    spec: ModelSpec,
    *,
    mode: Mode | None,
    crop: int | tuple[int, int] | None,
    stride: int | tuple[int, int] | None,
    scales: Sequence[float] | Literal["native", "published"] | None,
    flip: bool,
) -> InferenceConfig:
    crop_size = _pair(spec.crop if crop is None else crop, "crop")
    # For another crop, the default keeps the published overlap of a third.
    default_stride = spec.stride if crop is None else tuple(max(1, side * 2 // 3) for side in crop_size)
    return InferenceConfig(
        mode="whole" if mode is None else mode,
        crop=crop_size,
        stride=_pair(default_stride if stride is None else stride, "stride"),
        scales=spec.ms_scales if scales == "published" else "native" if scales == "native" else _floats(scales),
        flip=flip,
    )


def _nvidia(device: torch.device) -> bool:
    return device.type == "cuda" and torch.version.hip is None


def _pair(size: int | Sequence[int], name: str) -> tuple[int, int]:
    match size:
        case int(side):
            return side, side
        case int(height), int(width):
            return height, width
    raise UsageError(f"{name} {size!r} is not a height and a width, in whole pixels")


def _floats(scales: Sequence[float] | str | None) -> tuple[float, ...] | None:
    if scales is None:
        return None
    with suppress(TypeError, ValueError):
        if not isinstance(scales, str):  # "12" is not 1 and 2
            return tuple(float(scale) for scale in scales)
    raise UsageError(f"scales {scales!r} are no numbers", "Give a list, or native, or published.")
