"""The Python API: from a model's name to something that segments images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from semask_cli.checkpoints.loading import load_network
from semask_cli.checkpoints.store import Progress
from semask_cli.datasets import classes
from semask_cli.errors import DeviceError, QuantizationError, UsageError
from semask_cli.inference.config import Engine, InferenceConfig, Mode
from semask_cli.inference.device import Precision, cast_matmul_weights_, choose_device, choose_precision
from semask_cli.inference.memory import limit_gpu_memory, reuse_freed_memory
from semask_cli.inference.merge import MEMORY
from semask_cli.inference.openvino import check_engine
from semask_cli.inference.segmenter import Segmenter
from semask_cli.models.build import build_model as build_network
from semask_cli.models.network import Network
from semask_cli.zoo import ModelSpec, load_zoo

_OWN_CLASSES = "A dataset of your own is one file: CONTRIBUTING.md says which."


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
    """A published model, ready to segment. Its checkpoint is fetched on first use.

    On a CPU the process keeps memory that it has freed for the next layer (see `inference.memory`).

    Args:
        name: a row of the zoo ("swin-l-m2f"); None is the default row of `dataset`, or of ADE20K.
        dataset: "ade20k", "cityscapes" or "coco-stuff10k"; completes a bare name.
        checkpoint: a .pth, .pkl or .safetensors file to use instead of the published one.
        zoo: a TOML file with rows of your own.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: of matrix products and convolutions: "fp32", "bf16", "fp16" (for GPUs before Ampere: T4, RTX 20),
            "tf32" (float32 whose products an Ampere or later GPU rounds to ten bits), or "auto": bf16 on a GPU that is
            fast at it, else fp32; or "int8", on CPUs with VNNI or AMX, for what `semask quantize` has prepared.
        engine: what runs the network: "torch", or "openvino" on a CPU, which compiles it for each size of images or
            windows when that first comes (`pip install 'semask[export]'`). All else stays semask's.
        quantized: for int8, what `semask quantize -o` wrote; unless given, what lies in the cache.
        mode: "whole" images (the default), or windows that "slide".
        crop: height and width of a window, in pixels; the row's training crop unless given.
        stride: step of the windows; the row's published one unless given, at most `crop`.
        scales: factors of the row's test size to average over, "published" for the row's multi-scale list, or "native"
            for the image as it is. None is the test size.
        flip: average with the mirrored image too.
        memory_budget: bytes that an image may take beyond the weights: on a GPU for everything, where batches shrink
            and merging moves to the CPU to keep it (unless given, all there is); on a CPU, beyond the layers of one
            view or window, for class scores and windows that wait to be merged (1 GiB unless given).
        cuda_graphs: replay the network from CUDA graphs for sizes of windows or images that recur, unless it is
            False; on NVIDIA's GPUs by default. Not measured yet.
        random_weights: need no checkpoint; for measuring speed. int8 is then calibrated on noise.
        progress: called with (bytes so far, bytes in all or None) during a download.

    Raises:
        UsageError, CheckpointError, DownloadError, DeviceError, QuantizationError: each says what to do.
    """
    zoo_rows = load_zoo(Path(zoo) if zoo else None)
    spec = zoo_rows.find(name, dataset=dataset)
    if spec.num_classes != (named := len(classes(spec.dataset))):
        raise UsageError(f"{spec.name} has {spec.num_classes} classes, and {spec.dataset} has {named}", _OWN_CLASSES)
    if memory_budget is not None and memory_budget < 1:
        raise UsageError(f"a memory budget of {memory_budget} bytes", "Leave it out, or give the bytes there are.")
    crop_size = _pair(spec.crop if crop is None else crop)
    # A crop of the user's own keeps the published overlap, a third.
    usual_stride = spec.stride if crop is None else tuple(max(1, side * 2 // 3) for side in crop_size)
    config = InferenceConfig(
        mode=mode or "whole",
        crop=crop_size,
        stride=_pair(usual_stride if stride is None else stride),
        scales=spec.ms_scales if scales == "published" else "native" if scales == "native" else _floats(scales),
        flip=flip,
    )
    chosen_device = choose_device(device)
    if cuda_graphs and chosen_device.type != "cuda":
        raise DeviceError(
            f"CUDA graphs need a CUDA device, not {chosen_device}", "Go without, or choose --device cuda."
        )
    if chosen_device.type == "cpu":
        reuse_freed_memory()
    chosen_precision = choose_precision(precision, chosen_device)
    check_engine(engine, chosen_device, chosen_precision)
    if quantized and chosen_precision != "int8":
        raise UsageError("a quantized model runs in int8", "Give --precision int8 with --quantized.")
    if random_weights:
        network, digest = build_network(spec).requires_grad_(False).to(chosen_device), ""
    else:
        file = Path(checkpoint) if checkpoint else None
        network, spec, digest = load_network(spec, zoo_rows, checkpoint=file, device=chosen_device, progress=progress)
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
        quantization=quantization,
    )


def build_model(name: str, *, dataset: str | None = None) -> Network:
    """The bare network of a row, with random weights, in evaluation mode, on the CPU.

    Normalised pixels (B, 3, H, W) in; a Semantic-FPN gives logits (B, classes, H / 4, W / 4), a mask classifier class
    logits (B, queries, classes + 1) and mask logits (B, queries, H / 4, W / 4).

    Raises:
        UnknownModelError: no such row.
    """
    return build_network(load_zoo().find(name, dataset=dataset))


def _quantize_(
    network: Network, spec: ModelSpec, digest: str, *, file: str | os.PathLike[str] | None, prepare: str
) -> str:
    """Make the network of a checkpoint int8, in place; the SHA-256 of the scales, in `file` unless they are found.

    Where there are none, the error names `prepare`, the command that makes them. Random weights, which have no digest,
    are calibrated on noise.
    """
    from semask_cli.quantization.calibration import noise_scales
    from semask_cli.quantization.conversion import quantize_network_
    from semask_cli.quantization.store import find_scales, read_scales

    if not digest and not file:
        quantize_network_(network, noise_scales(network))
        return ""
    path = Path(file) if file else find_scales(spec, digest)
    if path is None:
        raise QuantizationError(f"{spec.name} is not prepared for int8", f"Prepare it: {prepare}")
    scales = read_scales(path, network, checkpoint=digest)
    quantize_network_(network, scales.layers)
    return scales.digest


def _nvidia(device: torch.device) -> bool:
    return device.type == "cuda" and torch.version.hip is None


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _floats(scales: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if scales is None else tuple(float(scale) for scale in scales)
