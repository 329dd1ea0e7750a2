"""Files of scales: safetensors, with the checkpoint they belong to and the images they were calibrated on.

They are in $SEMASK_CACHE/quantized, named after the model and the checkpoint's digest; those of the bundled models are
packaged.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from semask_cli.errors import CheckpointError, DamagedCheckpointError, DigestError
from semask_cli.io.cache import cache_folder
from semask_cli.io.files import write_atomically
from semask_cli.io.regular import open_regular
from semask_cli.io.resources import project_file
from semask_cli.models.network import Network
from semask_cli.quantization.conversion import LayerScales, input_weights, quantized_layers
from semask_cli.zoo import ModelSpec

RANGE, SMOOTHING = ".range", ".smoothing"
SCHEMA = "1"


@dataclass(frozen=True, slots=True)
class Scales:
    """The scales of every quantized layer of a network, and their SHA-256."""

    layers: Mapping[str, LayerScales]
    digest: str


def scales_path(spec: ModelSpec, checkpoint: str) -> Path:
    """The path of the scales of a model in the cache, for the checkpoint with that SHA-256."""
    return cache_folder() / "quantized" / f"{spec.name}-{checkpoint[:16]}.safetensors"


def find_scales(spec: ModelSpec, checkpoint: str) -> Path | None:
    """The scales of a model for the checkpoint with that SHA-256: cached or bundled ones; None if there are none."""
    own = scales_path(spec, checkpoint)
    return next((path for path in (own, project_file("bundled") / "quantized" / own.name) if path.exists()), None)


def write_scales(path: Path, layers: Mapping[str, LayerScales], about: Mapping[str, str]) -> None:
    """Write scales to `path`. `about` has their "checkpoint" and other metadata.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, scales in layers.items():
        tensors[name + RANGE] = torch.tensor([scales.low, scales.high])
        if scales.smoothing is not None:
            tensors[name + SMOOTHING] = scales.smoothing.float().contiguous()
    write_atomically(path, save(tensors, metadata={**about, "schema_version": SCHEMA, "sha256": _digest(tensors)}))


def read_scales(path: Path, network: Network, *, checkpoint: str) -> Scales:
    """The scales at `path`, checked against the float network of the checkpoint with that SHA-256.

    Raises:
        DigestError: they are for another checkpoint.
        DamagedCheckpointError: the file is damaged, or for another network or version.
        CheckpointError: it cannot be read.
    """
    again = "Create it again: semask quantize."
    try:
        open_regular(path).close()
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise CheckpointError(f"cannot read the scales {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise DamagedCheckpointError(f"{path} is damaged: {error}", again) from error
    if about.get("schema_version") != SCHEMA or about.get("sha256") != _digest(tensors):
        raise DamagedCheckpointError(f"{path} is damaged, or was not written by semask quantize", again)
    if about.get("checkpoint") != checkpoint:
        raise DigestError(f"{path} is for another checkpoint: {about.get('checkpoint')}, not {checkpoint}", again)
    layers = {}
    for layer in quantized_layers(network):
        extremes, smoothing = tensors.pop(layer.name + RANGE, None), tensors.pop(layer.name + SMOOTHING, None)
        if extremes is None or extremes.shape != (2,) or not _fits(network, layer.name, layer.smoothed, smoothing):
            raise DamagedCheckpointError(f"{path} has no scales for {layer.name}", again)
        low, high = extremes.tolist()
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise DamagedCheckpointError(f"{path} has no numbers for {layer.name}", again)
        layers[layer.name] = LayerScales(low, high, smoothing)
    if tensors:
        raise DamagedCheckpointError(f"{path} has scales for layers that the model does not have", again)
    return Scales(layers, about["sha256"])


def _fits(network: Network, name: str, smoothed: str, smoothing: Tensor | None) -> bool:
    if smoothing is None:
        return True
    if not smoothed or smoothing.shape != input_weights(network.get_submodule(name)).shape:
        return False
    return bool((smoothing.isfinite() & (smoothing > 0)).all())


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
