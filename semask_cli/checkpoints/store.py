"""Where checkpoints lie on this machine, and what is known of them. Nothing here imports torch.

    $SEMASK_CACHE/checkpoints/NAME@LABEL.safetensors   the weights of a published file, converted
    $SEMASK_CACHE/checkpoints/NAME@LABEL.json          its sidecar: which file they came from
    $SEMASK_CACHE/downloads/                           files on their way, and the locks

A checkpoint is there when both of its files are. The sidecar alone still holds the digest of the published file: a
later download must have the same one (trust on first use).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from semask_cli.errors import CheckpointError, DigestError, OutputError
from semask_cli.io.cache import cache_folder
from semask_cli.zoo import CheckpointSpec, ModelSpec

SIDECAR_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What a converted file was made from.

    `source` is the name of the published file and `source_sha256` its digest, `classes` the class names that it holds
    (None if none), `semantic_classes` the width of its semantic attention, `semask` the version that converted it.
    """

    schema_version: int = SIDECAR_SCHEMA
    row: str
    label: str
    source: str
    source_sha256: str
    classes: tuple[str, ...] | None
    semantic_classes: int
    semask: str


def published_file(spec: ModelSpec) -> CheckpointSpec:
    """The file that the row selects.

    Raises:
        CheckpointError: the row has none.
    """
    if spec.checkpoint is None:
        raise CheckpointError(f"no file is published for {spec.name}", "Give a file of your own: --checkpoint FILE.")
    return spec.checkpoint


def full_name(spec: ModelSpec) -> str:
    """NAME@LABEL, which says what row and which of its files."""
    return f"{spec.name}@{published_file(spec).label}"


def converted_path(spec: ModelSpec) -> Path:
    """Where the converted file of a row lies once it is there."""
    return cache_folder() / "checkpoints" / f"{full_name(spec)}.safetensors"


def sidecar_path(spec: ModelSpec) -> Path:
    """Where the sidecar of the converted file lies."""
    return converted_path(spec).with_suffix(".json")


def download_path(spec: ModelSpec) -> Path:
    """Where the published file lies between its download and its conversion."""
    return cache_folder() / "downloads" / f"{full_name(spec)}.pth"


def read_sidecar(spec: ModelSpec) -> Sidecar | None:
    """What is known of the row's file, None while it was never here or by another version's schema."""
    try:
        fields = json.loads(sidecar_path(spec).read_text(encoding="utf-8"))
        sidecar = Sidecar(**fields)
    except (OSError, ValueError, TypeError):
        return None
    return sidecar if sidecar.schema_version == SIDECAR_SCHEMA else None


def on_disk(spec: ModelSpec) -> Path | None:
    """The file of a row that is ready to be mapped: the bundled or the converted one, None if neither is there."""
    if spec.checkpoint is None:
        return None
    if bundled := spec.checkpoint.path:
        return bundled if bundled.is_file() else None
    path, sidecar = converted_path(spec), read_sidecar(spec)
    as_listed = sidecar is not None and spec.checkpoint.sha256.lower() in ("", sidecar.source_sha256)
    return path if as_listed and path.is_file() else None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def check_digest(spec: ModelSpec, digest: str, path: Path) -> None:
    """Compare the digest of the published file at `path` with the zoo's, else with the recorded one, if any is known.

    Raises:
        DigestError: it is another file.
    """
    file, sidecar = published_file(spec), read_sidecar(spec)
    if file.sha256:
        expected, origin = file.sha256.lower(), "the zoo lists"
        way_out = "Fetch it again; if the authors replaced it, correct sha256 in the zoo file."
    elif sidecar:
        expected, origin = sidecar.source_sha256, "an earlier download had"
        way_out = f"If you trust the new file, delete {sidecar_path(spec)} and try again."
    else:
        return
    if digest != expected:
        raise DigestError(
            f"{path} is not the expected file of {spec.name}: its SHA-256 is {digest}, {origin} {expected}", way_out
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the operating system has against writing `path` into an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}", "Free some space, or let SEMASK_CACHE name another folder."
        ) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place, synced to disk, once the block has ended without error.

    Whatever happens, and at whatever moment, `path` is the old file, the new one or none, never a part.

    Raises:
        OutputError: a full disk, a folder without permission.
    """
    temporary = path.with_name(f"{path.name}.tmp")  # always the same: what a kill left behind is overwritten
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # safetensors writes for the owner alone; a cache may be shared
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_sidecar(spec: ModelSpec, sidecar: Sidecar) -> None:
    """Publish the sidecar of the row's converted file.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(sidecar_path(spec)) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(sidecar), indent=2) + "\n", encoding="utf-8")
