"""From a published file, which holds an optimizer and needs a pickle, to one that is mapped and holds the weights."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from semask_cli import __version__
from semask_cli.checkpoints import matching, store
from semask_cli.checkpoints.reading import Checkpoint, read
from semask_cli.errors import OutputError
from semask_cli.zoo import ModelSpec, Zoo


def verified(source: Path, spec: ModelSpec, zoo: Zoo) -> tuple[Checkpoint, store.Sidecar]:
    """Open the published file of a row after its digest was found right, and hold its tensors against the row.

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
    """Publish the weights of `source` in the cache as the row's file, and return where.

    Raises:
        OutputError: the cache cannot be written; nothing is left behind.
        CheckpointError: `source` cannot be used; nothing is cached (see `verified`).
    """
    checkpoint, sidecar = verified(source, spec, zoo)
    target = store.converted_path(spec)
    with store.whole_file(target) as temporary:
        try:
            save_file(_weights(checkpoint.tensors), temporary, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OutputError(f"cannot write {target}: {error}", "Free some space and try again.") from error
    # In this order: a kill between the two leaves an incomplete pair, or the sidecar of an earlier, equal file.
    store.write_sidecar(spec, sidecar)
    return target


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
