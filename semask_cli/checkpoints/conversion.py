"""From a published file, which holds an optimizer and needs a pickle, to one that is mapped and holds the weights."""

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
    """Open the published file of a row, once its digest was found right, and compare its tensors with the row.

    Raises:
        DigestError: another file than the zoo, or an earlier download, says; it was not opened.
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
    """Publish the weights of `source` in the cache as the row's file, and return where. The row must be `store.locked`.

    Raises:
        OutputError: the cache cannot be written; nothing is left behind.
        CheckpointError: `source` cannot be used; nothing is cached (see `verified`).
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
        unfinished.chmod(mode)  # safetensors writes for the owner alone; a cache may be shared
        digest = _synced(unfinished)
    # In this order: a kill between the two leaves an incomplete pair, or the sidecar of an earlier, equal file.
    made = dataclasses.replace(sidecar, sha256=digest, verified=store.fingerprint(target))
    store.write_sidecar(spec, made)
    return target


def _synced(path: Path) -> str:
    """The SHA-256 of a file that is on the disk itself from now on."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a network needs of a file: one tensor for each name, none of them sharing memory."""
    kept, storages = {}, set()
    for name, tensor in tensors.items():
        if name == matching.LOSS_WEIGHT or name.endswith(matching.INDEX):
            continue
        storage = tensor.untyped_storage().data_ptr()
        kept[name] = tensor.clone() if storage in storages else tensor.contiguous()
        storages.add(storage)
    return kept
