"""Downloading published files from mirrors or Google Drive: resumed after a kill, locked, verified before opening.

Conversion imports torch and the networks, which takes seconds: it is imported only after the download.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from semask_cli.checkpoints import leftovers, store
from semask_cli.checkpoints.parts import Part, transfer_folder
from semask_cli.checkpoints.store import Progress
from semask_cli.errors import (
    CheckpointError,
    DamagedCheckpointError,
    DownloadError,
    OfflineError,
    printable,
)
from semask_cli.io import files
from semask_cli.io.cache import FREE_SPACE, offline
from semask_cli.zoo import ModelSpec, Zoo

_BYTES_PER_PARAMETER = 16  # float32 weights, and up to three optimizer states
_ROOM = 2**30  # bytes for anything else in a published file
MAX_BYTES = 8 * 2**30  # of a file of unknown size


def download(spec: ModelSpec, zoo: Zoo, *, progress: Progress | None = None) -> Path:
    """The model's file in the cache, downloaded and converted unless it is there undamaged.

    `progress` is called with (bytes received, total bytes or None). A killed download is resumed.

    Raises:
        OfflineError: SEMASK_OFFLINE is set.
        DownloadError: the file could not be downloaded.
        CheckpointError: it is not the expected file; nothing is kept.
        OutputError: the cache cannot be written.
    """
    path = store.on_disk(spec)
    if path and (path != store.converted_path(spec) or _is_verified(spec, path)):  # a read-only cache has no locks
        return path
    with store.locked(store.full_name(spec)):
        if (path := store.on_disk(spec)) and _is_intact(spec, path):
            return path
        leftovers.remove(holding=store.lock_path(store.full_name(spec)))  # the file may need the space
        from semask_cli.checkpoints.conversion import convert

        with _fetched(spec, store.download_path(spec), progress=progress) as source:
            return convert(source, spec, zoo)


def adopt(source: Path, spec: ModelSpec, zoo: Zoo) -> Path:
    """Convert a published file that was downloaded by other means into the cache; `source` is kept.

    Raises:
        CheckpointError: it is not the model's file; nothing is cached.
        OutputError: the cache cannot be written.
    """
    with store.locked(store.full_name(spec)):
        from semask_cli.checkpoints.conversion import convert

        return convert(source, spec, zoo)


def save_published(spec: ModelSpec, zoo: Zoo, folder: Path, *, progress: Progress | None = None) -> Path:
    """Download the published file, verified and unconverted, into `folder`, bypassing the cache.

    An existing file is verified and never replaced. The folder gets an index of digests, so that it can be used as a
    mirror.

    Raises:
        OfflineError, DownloadError, CheckpointError, OutputError: as `download`.
    """
    target = folder / store.download_path(spec).name
    with store.locked(store.full_name(spec)):
        from semask_cli.checkpoints.conversion import verified

        if os.path.lexists(target):
            _, sidecar = verified(target, spec, zoo)
        else:
            with _fetched(spec, target, progress=progress) as source, files.writing(target):
                _, sidecar = verified(source, spec, zoo)
                source.replace(target)
    from semask_cli.checkpoints.mirrors import add_to_index

    add_to_index(target, sidecar.source_sha256)
    return target


def _is_verified(spec: ModelSpec, path: Path) -> bool:
    """Whether the converted file had its digest, and has not changed since."""
    sidecar = store.read_sidecar(spec)
    return sidecar is not None and sidecar.verified == store.fingerprint(path)


def _is_intact(spec: ModelSpec, path: Path) -> bool:
    """Whether the converted file has its digest; the model must be locked.

    Raises:
        DamagedCheckpointError: it has not, and SEMASK_OFFLINE forbids downloading it again.
    """
    if _is_verified(spec, path):
        return True
    fingerprint, digest = store.fingerprint(path), store.sha256(path)
    try:
        store.check_converted(spec, digest)
    except DamagedCheckpointError as error:
        if offline():
            raise
        print(f"{error.message}; downloading it again", file=sys.stderr)
        return False
    store.record(store.sidecar_path(spec), digest=digest, fingerprint=fingerprint)
    return True


@contextmanager
def _fetched(spec: ModelSpec, target: Path, *, progress: Progress | None) -> Iterator[Path]:
    """Download the published file for `target` into a private folder beside it; the block may move the file.

    Mirrors are tried before Google Drive. If the transfer breaks off, the folder stays for the next call to resume.
    """
    _refuse_what_is_not_fetched(spec)
    from semask_cli.checkpoints import mirrors  # requests is slow to import, and only a download needs it

    broken_off: list[str] = []
    for place in mirrors.places(spec, local=offline()):
        try:
            with _transfer(target, place.address) as source:
                with files.writing(source, suggestion=FREE_SPACE):
                    mirrors.fetch(place, source, max_bytes=_max_bytes(spec), progress=progress)
                _remove_transfers(target, broken_off)
                with _named(spec, source):
                    yield source
                return
        except (mirrors.BrokenOffError, mirrors.RefusedError) as error:
            reason = f"it sent {error}" if isinstance(error, mirrors.RefusedError) else str(error)
            print(f"cannot download {target.name} from {printable(place.address)}: {reason}", file=sys.stderr)
            broken_off.append(place.address)
    drive_id = _drive_id(spec)
    with _transfer(target, drive_id) as source:
        _fetch(spec, drive_id, source, progress=progress)
        _remove_transfers(target, broken_off)
        with _named(spec, source):
            yield source


@contextmanager
def _named(spec: ModelSpec, source: Path) -> Iterator[None]:
    """Within the block, what is wrong with the file is said of the model's download, not of a temporary path."""
    try:
        yield
    except CheckpointError as error:
        name = f"the download of {store.full_name(spec)}"
        said = (text.replace(str(source), name) for text in (error.message, error.suggestion))
        raise type(error)(*said) from error


@contextmanager
def _transfer(target: Path, origin: str) -> Iterator[Path]:
    """The path to download to; its folder stays if the transfer breaks off and can be resumed."""
    with files.writing(target, suggestion=FREE_SPACE):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder, lock = transfer_folder(target, origin)
    source = folder / target.name
    keep = False
    try:
        yield source
    except BaseException:
        keep = Part(source, origin=origin).identity() is not None
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_transfers(target: Path, origins: Iterable[str]) -> None:
    """Remove what arrived from places that did not give all of the file, which another one has given."""
    for origin in origins:
        folder, lock = transfer_folder(target, origin)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _refuse_what_is_not_fetched(spec: ModelSpec) -> None:
    """Raises CheckpointError if the file is a local one."""
    file, name = store.published_file(spec), store.full_name(spec)
    if file.path and file.path.is_file():
        raise CheckpointError(f"the file of {name} is not downloaded: it is at {file.path}", "Copy it from there.")
    if file.path:
        raise CheckpointError(f"the file of {name} is missing: {file.path}", "Restore it; the zoo file refers to it.")


def _drive_id(spec: ModelSpec) -> str:
    """The id of the file on Google Drive, the last resort.

    Raises:
        OfflineError: SEMASK_OFFLINE is set.
        DownloadError: it has none.
    """
    file, name = store.published_file(spec), store.full_name(spec)
    if offline():
        raise OfflineError(
            f"the checkpoint of {name} is not on this machine, and SEMASK_OFFLINE is set",
            f"Go online and run: semask download {name}\n{_by_hand(spec)}\n"
            "Or use a file that you have: --checkpoint FILE",
        )
    if not file.drive_id:
        raise DownloadError(f"no URL of {name} provided its file", f"Try again later.\n{_by_hand(spec)}")
    return file.drive_id


def _by_hand(spec: ModelSpec) -> str:
    page, name = store.published_file(spec).page, store.full_name(spec)
    return f"Or open {page} in a browser, save the file, then: semask download {name} --from FILE"


def _fetch(spec: ModelSpec, drive_id: str, source: Path, *, progress: Progress | None) -> None:
    """Download the file to `source` or resume it; any failure becomes an error with a suggestion."""
    from semask_cli.checkpoints import drive  # requests and gdown are slow to import, and only a download needs them

    name = store.full_name(spec)
    try:
        with files.writing(source, suggestion=FREE_SPACE):
            drive.fetch(drive_id, source, max_bytes=_max_bytes(spec), progress=progress)
    except drive.NotHandedOutError as error:
        raise DownloadError(
            f"Google Drive refuses the file of {name}: its quota is used up, or it is no longer public",
            f"Try again tomorrow.\n{_by_hand(spec)}",
        ) from error
    except drive.BrokenOffError as error:
        raise DownloadError(
            f"the download of {name} broke off: {error}",
            f"The same command resumes it.\n{_by_hand(spec)}",
        ) from error
    except drive.RefusedError as error:
        raise DownloadError(
            f"the download of {name} was aborted, because the server sent {error}",
            f"Try again later.\n{_by_hand(spec)}",
        ) from error


def _max_bytes(spec: ModelSpec) -> int:
    """The largest plausible size of the model's file."""
    return int(spec.params_m * 1e6) * _BYTES_PER_PARAMETER + _ROOM if spec.params_m else MAX_BYTES
