"""From a model of the zoo to its network with the published weights."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from semask_cli.checkpoints import matching, store
from semask_cli.checkpoints.download import download
from semask_cli.checkpoints.reading import Checkpoint, read
from semask_cli.checkpoints.store import Progress
from semask_cli.errors import DamagedCheckpointError, NotACheckpointError, OutputError
from semask_cli.io.cache import offline
from semask_cli.models.network import Network
from semask_cli.zoo import ModelSpec, Zoo


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedNetwork:
    """A `network` with its weights, its model as the file has it, and the SHA-256 of the published file."""

    network: Network
    spec: ModelSpec
    digest: str


def load_network(
    spec: ModelSpec,
    zoo: Zoo,
    *,
    checkpoint: Path | None = None,
    device: torch.device,
    progress: Progress | None = None,
) -> LoadedNetwork:
    """The network of a model with the weights of its file or of `checkpoint`, float32 and in evaluation mode.

    A published file that is not on disk is downloaded first; `progress` is called with (bytes received, total bytes or
    None).

    Raises:
        CheckpointError: the file cannot be used; the subclass gives the reason.
        DownloadError: it is not on disk and cannot be downloaded.
    """
    path = checkpoint or store.on_disk(spec) or download(spec, zoo, progress=progress)
    if checkpoint is None and path == store.converted_path(spec):
        opened, digest = _open_converted(spec, zoo, progress=progress)
        adapted, network = matching.network_for(opened.tensors, spec, zoo, path=path)
    else:
        opened = read(path, verify=lambda digest: None)
        digest = opened.sha256
        adapted, network = matching.network_for(opened.tensors, spec, zoo, path=path)
        matching.check_numbers(opened.tensors, path=path)
    assemble(network, opened.tensors)
    return LoadedNetwork(network=network.to(device).eval().requires_grad_(False), spec=adapted, digest=digest)


def _open_converted(spec: ModelSpec, zoo: Zoo, *, progress: Progress | None) -> tuple[Checkpoint, str]:
    """The converted file and the digest of the published one. A damaged file is downloaded again."""
    try:
        return _read_verified(spec)
    except (DamagedCheckpointError, NotACheckpointError):
        if offline():
            raise
    download(spec, zoo, progress=progress)
    return _read_verified(spec)


def _read_verified(spec: ModelSpec) -> tuple[Checkpoint, str]:
    """The converted file, verified unless this was done since it last changed and the machine started."""
    path, sidecar = store.converted_path(spec), store.read_sidecar(spec)
    if sidecar is None:
        raise DamagedCheckpointError(f"the sidecar of {path} is missing")
    fingerprint = store.fingerprint(path)
    if sidecar.verified == fingerprint:
        return read(path), sidecar.source_sha256
    checkpoint = read(path, verify=partial(store.check_converted, spec))
    # If the cache is read-only, the file is hashed every time.
    with suppress(OutputError), store.locked(store.full_name(spec), wait=False):
        store.record(store.sidecar_path(spec), digest=checkpoint.sha256, fingerprint=fingerprint)
    return checkpoint, sidecar.source_sha256


def assemble(network: Network, tensors: dict[str, Tensor]) -> None:
    """Load tensors into a network on the meta device, without a copy if they are float32."""
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    for name, tensor in network.state_dict().items():
        if name.endswith(matching.INDEX):
            state[name] = tensor  # computed by the network from its window
        elif name.endswith(matching.COUNTER):
            state.setdefault(name, torch.zeros((), dtype=torch.int64))
    state.pop(matching.LOSS_WEIGHT, None)
    network.load_state_dict(state, strict=True, assign=True)
