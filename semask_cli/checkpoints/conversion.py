"""Conversion of a published file, a pickle with optimizer state, to safetensors with only the weights."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from semask_cli.checkpoints import leftovers, matching, store
from semask_cli.checkpoints.reading import Checkpoint, read
from semask_cli.errors import OutputError
from semask_cli.io.cache import FREE_SPACE
from semask_cli.io.files import whole_file
from semask_cli.version import __version__
from semask_cli.zoo import ModelSpec, Zoo


def verified(source: Path, spec: ModelSpec, zoo: Zoo) -> tuple[Checkpoint, store.Sidecar]:
    """Verify the digest of a published file, open it, and compare its tensors with the model.

    Raises:
        DigestError: the digest differs from the zoo's or an earlier download's; the file was not parsed.
        CheckpointError: any other reason why it cannot be used (see `reading.read` and `matching.network_for`).
    """
    checkpoint = read(source, verify=lambda digest: store.check_digest(spec, digest, source))
    spec, _ = matching.network_for(checkpoint.tensors, spec, zoo, path=source)
    matching.check_numbers(checkpoint.tensors, path=source)
    sidecar = store.Sidecar(
        row=spec.name,
        label=store.published_file(spec).label,
        source=source.name,
        source_sha256=checkpoint.sha256,
        classes=checkpoint.classes,
        semantic_classes=spec.backbone.semantic_classes,
        semask=__version__,
    )
    return checkpoint, sidecar


def convert(source: Path, spec: ModelSpec, zoo: Zoo) -> Path:
    """Convert `source` into the cache and return the new path. The model must be `store.locked`.

    Raises:
        OutputError: the cache cannot be written; no partial file is left.
        CheckpointError: `source` cannot be used (see `verified`); nothing is cached.
    """
    checkpoint, sidecar = verified(source, spec, zoo)
    target = store.converted_path(spec)
    leftovers.remove(holding=store.lock_path(store.full_name(spec)))
    with whole_file(target, suggestion=FREE_SPACE) as unfinished:
        unfinished.touch()
        mode = unfinished.stat().st_mode
        try:
            save_file(_weights(checkpoint.tensors), unfinished, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OutputError(f"cannot write {target}: {error}", "Free some space and try again.") from error
        unfinished.chmod(mode)  # safetensors sets owner-only permissions, but a cache may be shared
        digest = _synced(unfinished)
    # The sidecar last: a kill before it leaves an incomplete pair, or the sidecar of an earlier, equal file.
    made = dataclasses.replace(sidecar, sha256=digest, verified=store.fingerprint(target))
    store.write_sidecar(spec, made)
    return target


def _synced(path: Path) -> str:
    """Sync a file to disk, and return its SHA-256."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that a network needs, none of them sharing memory."""
    kept, storages = {}, set()
    for name, tensor in tensors.items():
        if name == matching.LOSS_WEIGHT or name.endswith(matching.INDEX):
            continue
        storage = tensor.untyped_storage().data_ptr()
        kept[name] = tensor.clone() if storage in storages else tensor.contiguous()
        storages.add(storage)
    return kept
