"""Fetching published files from Google Drive: resumed after a kill, once at a time, checked before they are opened.

Conversion imports torch and the networks, which takes seconds: it is imported once a file has arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from semask_cli.checkpoints import store
from semask_cli.errors import CheckpointError, DownloadError, OfflineError
from semask_cli.io.cache import offline
from semask_cli.zoo import ModelSpec, Zoo

Progress = Callable[[int, int | None], None]


def download(spec: ModelSpec, zoo: Zoo, *, progress: Progress | None = None) -> Path:
    """The row's file in the cache, fetched and converted unless it is there.

    `progress` hears (bytes so far, bytes in all or None). What a killed download received is kept and continued.

    Raises:
        OfflineError: SEMASK_OFFLINE is set.
        DownloadError: the server did not give the file.
        CheckpointError: it is not the expected file; nothing is kept.
        OutputError: the cache cannot be written.
    """
    with _lock(spec):
        if there := store.on_disk(spec):
            return there
        source = store.download_path(spec)
        _fetch(spec, source, progress=progress)
        from semask_cli.checkpoints.conversion import convert

        try:
            converted = convert(source, spec, zoo)
        except CheckpointError:
            source.unlink()
            raise
        source.unlink()
        return converted


def adopt(source: Path, spec: ModelSpec, zoo: Zoo) -> Path:
    """Put a published file that was fetched by other means into the cache; `source` stays where it is.

    Raises:
        CheckpointError: it is not the row's file; nothing is cached.
        OutputError: the cache cannot be written.
    """
    from semask_cli.checkpoints.conversion import convert

    with _lock(spec):
        return convert(source, spec, zoo)


def save_published(spec: ModelSpec, zoo: Zoo, folder: Path, *, progress: Progress | None = None) -> Path:
    """Fetch the published file itself, verified and not converted, into `folder`, past the cache.

    Raises:
        OfflineError, DownloadError, CheckpointError, OutputError: as `download`.
    """
    target = folder / store.download_path(spec).name
    with _lock(spec):
        fresh = not target.exists()
        if fresh:
            _fetch(spec, target, progress=progress)
        from semask_cli.checkpoints.conversion import verified

        try:
            verified(target, spec, zoo)
        except CheckpointError:
            if fresh:
                target.unlink()
            raise
    return target


def _lock(spec: ModelSpec) -> FileLock:
    path = store.download_path(spec).with_suffix(".lock")
    with store.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def _fetch(spec: ModelSpec, target: Path, *, progress: Progress | None) -> None:
    """Fetch the published file of a row to `target`, which appears only with the size that the server announced."""
    file, name = store.published_file(spec), store.full_name(spec)
    if file.path:
        raise CheckpointError(f"the file of {name} is missing: {file.path}", "It came with the zoo file that lists it.")
    by_hand = f"Or open {file.page} in a browser, save the file, then: semask download {name} --from FILE"
    if offline():
        raise OfflineError(
            f"the checkpoint of {name} is not on this machine, and SEMASK_OFFLINE is set",
            f"Go online and run: semask download {name}\n{by_hand}\nOr give a file that you have: --checkpoint FILE",
        )
    with store.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        from semask_cli.checkpoints import drive  # who has the file does not wait for gdown

        try:
            drive.fetch(file.drive_id, target, progress=progress)
        except drive.NotHandedOutError as error:
            raise DownloadError(
                f"Google Drive does not hand out the file of {name}: its quota is used up, or it is no longer public",
                f"Try again tomorrow.\n{by_hand}",
            ) from error
        except drive.BrokenOffError as error:
            raise DownloadError(
                f"the download of {name} broke off: {error}",
                f"What has arrived is kept: the same command continues it.\n{by_hand}",
            ) from error
