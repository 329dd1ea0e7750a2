"""The checkpoints on this machine: their paths, origin and integrity. Nothing here imports torch.

    $SEMASK_CACHE/checkpoints/NAME@LABEL.safetensors   the weights of a published file, converted
    $SEMASK_CACHE/checkpoints/NAME@LABEL.json          its sidecar: the file that they came from
    $SEMASK_CACHE/downloads/                           unfinished downloads, and the locks

A checkpoint exists if both of its files do. The sidecar has the digest of the published file, which later downloads
must match (trust on first use), and the digest of the converted file, which is verified on the first use after a reboot
or a change of the file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from semask_cli.errors import CheckpointError, DamagedCheckpointError, DigestError, OutputError
from semask_cli.io.cache import FREE_SPACE, cache_folder
from semask_cli.io.files import whole_file, writing
from semask_cli.io.regular import open_regular, read_regular
from semask_cli.zoo import CheckpointSpec, ModelSpec

Progress = Callable[[int, int | None], None]
"""Called with (bytes received, total bytes or None) during a download."""

SIDECAR_SCHEMA = 2

State = Literal["intact", "recorded", "damaged", "unreadable"]
"""Of a converted file; "recorded": its digest was unknown, and is now recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """The origin of a converted file.

    `source` is the name of the published file and `source_sha256` its digest, `classes` the class names in it, if any,
    `semantic_classes` the number of classes of its semantic attention, `semask` the version that converted it. `sha256`
    is the digest of the converted file (empty in schema 1), `verified` its `fingerprint` when it was last verified.
    """

    schema_version: int = SIDECAR_SCHEMA
    row: str
    label: str
    source: str
    source_sha256: str
    classes: tuple[str, ...] | None
    semantic_classes: int
    semask: str
    sha256: str = ""
    verified: str = ""


def published_file(spec: ModelSpec) -> CheckpointSpec:
    """The published file of the model.

    Raises:
        CheckpointError: it has none.
    """
    if spec.checkpoint is None:
        raise CheckpointError(f"no file is published for {spec.name}", "Use your own file: --checkpoint FILE.")
    return spec.checkpoint


def full_name(spec: ModelSpec) -> str:
    """NAME@LABEL, the model and which of its files."""
    return f"{spec.name}@{published_file(spec).label}"


def converted_path(spec: ModelSpec) -> Path:
    """The path of the model's converted file."""
    return cache_folder() / "checkpoints" / f"{full_name(spec)}.safetensors"


def sidecar_path(spec: ModelSpec) -> Path:
    """The path of the converted file's sidecar."""
    return converted_path(spec).with_suffix(".json")


def download_path(spec: ModelSpec) -> Path:
    """The path of the published file between download and conversion."""
    return cache_folder() / "downloads" / f"{full_name(spec)}.pth"


def read_sidecar(spec: ModelSpec) -> Sidecar | None:
    """The sidecar of the model's file; None if there is none, or one of a later schema."""
    return parse_sidecar(sidecar_path(spec))


def parse_sidecar(path: Path) -> Sidecar | None:
    """The sidecar at `path`; None if there is none, or one of a later schema."""
    try:
        sidecar = Sidecar(**json.loads(read_regular(path)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    texts = (sidecar.source_sha256, sidecar.sha256, sidecar.verified)
    return sidecar if sidecar.schema_version in (1, SIDECAR_SCHEMA) and all(isinstance(t, str) for t in texts) else None


def on_disk(spec: ModelSpec) -> Path | None:
    """The bundled or converted file of a model; None if neither exists."""
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
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def check_digest(spec: ModelSpec, digest: str, path: Path) -> None:
    """Compare the digest of the published file at `path` with the one in the zoo or, else, the recorded one.

    Raises:
        DigestError: it differs.
    """
    file, sidecar = published_file(spec), read_sidecar(spec)
    if file.sha256:
        expected, origin = file.sha256.lower(), "the zoo lists"
        suggestion = "Download it again; if the authors replaced it, correct sha256 in the zoo file."
    elif sidecar:
        expected, origin = sidecar.source_sha256, "an earlier download had"
        suggestion = f"If you trust the new file, delete {sidecar_path(spec)} and try again."
    else:
        return
    if digest != expected:
        raise DigestError(
            f"{path} is not the expected file of {spec.name}: its SHA-256 is {digest}, but {origin} {expected}",
            suggestion,
        )


def fingerprint(path: Path) -> str:
    """A text that changes when the file does, or after a reboot; no content is read.

    Raises:
        CheckpointError: there is no such file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    numbers = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return " ".join((_boot(), *map(str, numbers)))


@cache
def _boot() -> str:
    """The id of the current boot; empty if the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def check_converted(spec: ModelSpec, digest: str) -> None:
    """Compare the digest of the model's converted file with the recorded one, if any.

    Raises:
        DamagedCheckpointError: it differs.
    """
    sidecar = read_sidecar(spec)
    if sidecar and sidecar.sha256 and digest != sidecar.sha256:
        name = full_name(spec)
        raise DamagedCheckpointError(
            f"{converted_path(spec)} is damaged: its SHA-256 has changed",
            f"Delete it and go online: semask download {name}\n"
            f"Or convert the published file again: semask download {name} --from FILE",
        )


def record(path: Path, *, digest: str, fingerprint: str) -> None:
    """Record in the sidecar at `path` that the converted file was verified; the model must be `locked`.

    If `digest` is not the recorded one, the file will be hashed again when it is used.

    Raises:
        OutputError: the sidecar cannot be written.
    """
    if sidecar := parse_sidecar(path):
        expected = sidecar.sha256 or digest  # schema 1 has none: trust the file from now on
        verified = fingerprint if digest == expected else ""
        _write(
            path,
            dataclasses.replace(sidecar, schema_version=SIDECAR_SCHEMA, sha256=expected, verified=verified),
        )


def verify_all() -> dict[Path, State]:
    """Verify every converted file in the cache, and record that in its sidecar."""
    states: dict[Path, State] = {}
    for path in sorted((cache_folder() / "checkpoints").glob("*.safetensors")):
        if (sidecar := parse_sidecar(path.with_suffix(".json"))) is None:
            continue  # an incomplete pair, which is never used
        try:
            before, digest = fingerprint(path), sha256(path)
        except CheckpointError:
            states[path] = "unreadable"
            continue
        states[path] = "recorded" if not sidecar.sha256 else "intact" if digest == sidecar.sha256 else "damaged"
        with suppress(OutputError), locked(path.stem, wait=False):
            record(path.with_suffix(".json"), digest=digest, fingerprint=before)
    return states


def write_sidecar(spec: ModelSpec, sidecar: Sidecar) -> None:
    """Write the sidecar of the model's converted file.

    Raises:
        OutputError: it cannot be written.
    """
    _write(sidecar_path(spec), sidecar)


def _write(path: Path, sidecar: Sidecar) -> None:
    with whole_file(path, suggestion=FREE_SPACE) as unfinished:
        unfinished.write_text(json.dumps(dataclasses.asdict(sidecar), indent=2) + "\n", encoding="utf-8")


def lock_path(name: str) -> Path:
    """The lock file of NAME@LABEL, held while it is downloaded or converted."""
    return cache_folder() / "downloads" / f"{name}.lock"


@contextmanager
def locked(name: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of NAME@LABEL for downloading or converting it. Waiting for it is reported on stderr.

    Raises:
        OutputError: the cache cannot be written, or another process has the lock and `wait` is false.
    """
    from filelock import FileLock, Timeout

    path = lock_path(name)
    with writing(path, suggestion=FREE_SPACE):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            if not wait:
                raise OutputError(f"another process is working on {name}") from error
            since = time.strftime("%H:%M", time.localtime(path.stat().st_mtime))
            print(f"waiting for another process, which has been downloading {name} since {since}", file=sys.stderr)
            lock.acquire()
        with suppress(OSError):
            os.utime(path)  # the time since when it is held
    try:
        yield
    finally:
        lock.release()
