"""From a row of the zoo to its network with the published weights."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from semask_cli.checkpoints import matching, store
from semask_cli.checkpoints.download import Progress, download
from semask_cli.checkpoints.reading import read
from semask_cli.models.attention import relative_position_index
from semask_cli.models.network import Network
from semask_cli.zoo import ModelSpec, Zoo


def load_network(
    spec: ModelSpec,
    zoo: Zoo,
    *,
    checkpoint: Path | None = None,
    device: torch.device,
    progress: Progress | None = None,
) -> tuple[Network, ModelSpec, str]:
    """The network of a row, with the weights of its file or of `checkpoint`, float32 and in evaluation mode.

    A published file that is not on disk is fetched first; `progress` then hears (bytes so far, bytes in all or None).
    Returns the network, the row as the file has it, and the SHA-256 of the file (of the published one, if converted).

    Raises:
        CheckpointError: the file cannot be used; the subclass says why.
        DownloadError: it is not on disk and cannot be fetched.
    """
    path = checkpoint or store.on_disk(spec) or download(spec, zoo, progress=progress)
    converted = checkpoint is None and path == store.converted_path(spec)
    sidecar = store.read_sidecar(spec) if converted else None
    # A converted file was verified when it was made; of any other the bytes that are hashed are those that are read.
    opened = read(path) if sidecar else read(path, verify=lambda digest: None)
    adapted, network = matching.network_for(opened.tensors, spec, zoo, path=path)
    if not sidecar:
        matching.check_numbers(opened.tensors, path=path)
    assemble(network, opened.tensors)
    digest = sidecar.source_sha256 if sidecar else opened.sha256
    return network.to(device).eval().requires_grad_(False), adapted, digest


def assemble(network: Network, tensors: dict[str, Tensor]) -> None:
    """Give a network on the meta device its tensors, without a copy where they are float32 already."""
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    for name, tensor in network.state_dict().items():
        if name.endswith(matching.INDEX):
            state[name] = relative_position_index(math.isqrt(tensor.shape[0]))
        elif name.endswith(matching.COUNTER):
            state.setdefault(name, torch.zeros((), dtype=torch.int64))
    state.pop(matching.LOSS_WEIGHT, None)
    network.load_state_dict(state, strict=True, assign=True)
