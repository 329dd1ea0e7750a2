"""Files from Google Drive, by gdown."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

import gdown
import requests

if TYPE_CHECKING:
    from semask_cli.checkpoints.download import Progress

_TIMEOUT = 60  # seconds without a byte
_RETRIES = 5  # of a transfer that breaks off; each goes on where the last one stopped


class NotHandedOutError(Exception):
    """Drive refuses the file: its quota is used up, or it is not public."""


class BrokenOffError(Exception):
    """The transfer ended early; what has arrived is kept. The text says why, in a few words."""


def fetch(drive_id: str, target: Path, *, progress: Progress | None = None) -> None:
    """Fetch a file to `target`, which appears only with the size that the server announced.

    `progress` hears (bytes so far, bytes in all or None). What an earlier fetch left is continued.

    Raises:
        NotHandedOutError, BrokenOffError: Drive did not give the file, or not all of it.
    """
    try:
        _transfer(drive_id, target, progress)
    except gdown.FileURLRetrievalError as error:
        raise NotHandedOutError from error
    except (gdown.DownloadError, requests.RequestException) as error:
        raise BrokenOffError(_reason(error)) from error


def _transfer(drive_id: str, target: Path, progress: Progress | None) -> None:
    """gdown's download, continued where an earlier one stopped, or begun anew where the server will not continue it."""
    part = _partial(target)
    size = part.stat().st_size if part else 0
    try:
        _gdown(drive_id, target, progress)
    except gdown.DownloadError as error:
        # gdown would keep a partial file for ever if the server has another file by now, or if a kill fell between its
        # last byte and its new name. Both show as a refusal that no failed connection caused, with no byte received.
        refused = error.__cause__ is None and not isinstance(error, gdown.FileURLRetrievalError)
        if not (part and refused and part.stat().st_size == size):
            raise
        part.unlink()
        _gdown(drive_id, target, progress)


def _gdown(drive_id: str, target: Path, progress: Progress | None) -> None:
    gdown.download(
        id=drive_id,
        output=str(target),
        quiet=True,
        use_cookies=False,  # gdown keeps them outside our cache
        resume=True,
        progress=progress,
        timeout=_TIMEOUT,
        retries=_RETRIES,
    )


def _partial(target: Path) -> Path | None:
    """What an earlier download of `target` left: gdown adds eight random characters and .part to the name."""
    return next(target.parent.glob(f"{glob.escape(target.name)}????????.part"), None)


def _reason(error: Exception) -> str:
    """An error in a few words; those of requests repeat addresses and name Python objects."""
    cause = error.__cause__ or error
    if isinstance(cause, requests.HTTPError) and cause.response is not None:
        return f"the server answered {cause.response.status_code}"
    if isinstance(cause, requests.RequestException):
        return f"the connection failed ({type(cause).__name__})"
    return str(cause).partition("\n")[0]
