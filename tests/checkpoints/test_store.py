"""Names, digests and sidecars of the checkpoints on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from semask_cli.checkpoints import store
from semask_cli.errors import CheckpointError
from semask_cli.zoo import ModelSpec

SIDECAR = store.Sidecar(
    row="small",
    label="first",
    source="published.pth",
    source_sha256="ab" * 32,
    classes=None,
    semantic_classes=5,
    semask="0.1.0",
)


def test_where_a_checkpoint_lies(spec: ModelSpec, cache_folder: Path) -> None:
    assert store.full_name(spec) == "small@first"
    assert store.converted_path(spec) == cache_folder / "checkpoints/small@first.safetensors"
    assert store.sidecar_path(spec) == cache_folder / "checkpoints/small@first.json"
    assert store.download_path(spec) == cache_folder / "downloads/small@first.pth"


def test_a_row_without_a_file_has_no_name(spec: ModelSpec) -> None:
    with pytest.raises(CheckpointError, match="no file is published for small"):
        store.full_name(dataclasses.replace(spec, checkpoint=None))


def test_only_a_sidecar_of_this_schema_is_read(spec: ModelSpec) -> None:
    path = store.sidecar_path(spec)
    assert store.read_sidecar(spec) is None
    path.parent.mkdir(parents=True)
    fields = dataclasses.asdict(SIDECAR)
    for text in ("", "[]", "{}", json.dumps({**fields, "schema_version": 0}), json.dumps({**fields, "colour": 3})):
        path.write_text(text)
        assert store.read_sidecar(spec) is None
    path.write_text(json.dumps(fields))
    assert store.read_sidecar(spec) == SIDECAR


def test_digests(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    assert store.sha256(tmp_path / "a") == hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(CheckpointError, match=r"cannot read .*none"):
        store.sha256(tmp_path / "none")
