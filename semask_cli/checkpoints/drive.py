"""Files from Google Drive: from a file's id, through redirects and the confirmation page, to the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gdown.download import get_url_from_gdrive_confirmation
from gdown.exceptions import FileURLRetrievalError

from semask_cli.checkpoints import https, transfer
from semask_cli.checkpoints.https import Answer, BrokenOffError, RefusedError, Session
from semask_cli.checkpoints.parts import Part

if TYPE_CHECKING:
    from semask_cli.checkpoints.store import Progress

__all__ = ["BrokenOffError", "NotHandedOutError", "RefusedError", "fetch"]

_STEPS = 8  # redirects and pages before a file
_SIGN_IN = "accounts.google.com"
# gdown parses a page line by line. Only lines with one of these matter, and a page may have a million lines.
_MARKERS = ("download-form", "export=download", "downloadUrl", "uc-error-subcaption")


class NotHandedOutError(Exception):
    """Drive refuses the file: its quota is used up, or it is not public."""


def fetch(drive_id: str, target: Path, *, max_bytes: int, progress: Progress | None = None) -> None:
    """Download a file of at most `max_bytes` to `target`, which appears only once it has the announced size.

    `progress` is called with (bytes received, total bytes or None). An earlier download of the same file beside
    `target` is resumed; the folder should be private (see `parts`).

    Raises:
        NotHandedOutError: Drive refuses the file.
        BrokenOffError: the transfer ended early, or was too slow; the received part is kept.
        RefusedError: the answer is not such a file; nothing is kept.
        OutputError: the disk has no space.
    """
    with https.session() as session:
        part = Part(target, origin=drive_id)
        transfer.fetch(part, session, partial(_file, session, drive_id), max_bytes=max_bytes, progress=progress)


@contextmanager
def _file(session: Session, drive_id: str) -> Iterator[Answer]:
    """The answer with the file itself."""
    url = f"https://drive.google.com/uc?id={drive_id}"
    for _ in range(_STEPS):
        with https.get(session, url) as answer:
            if (location := answer.redirect()) is not None:
                url = _redirected(url, location)
            elif answer.status >= 400:
                raise NotHandedOutError
            elif "Content-Disposition" in answer.headers:
                yield answer
                return
            else:
                url = _confirmed(answer.page())
    raise RefusedError(f"{_STEPS} redirects and pages, and no file")


def _redirected(url: str, location: str) -> str:
    address = https.redirected(url, location)
    if https.host_of(address) == _SIGN_IN:
        raise NotHandedOutError
    return address


def _confirmed(page: str) -> str:
    """The URL behind the form of a confirmation page."""
    lines = [line for line in page.splitlines() if any(marker in line for marker in _MARKERS)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its parser warns of lines that do not look like HTML
            return get_url_from_gdrive_confirmation("\n".join(lines))
    except FileURLRetrievalError as error:
        raise NotHandedOutError from error
    except Exception as error:  # forms without fields, addresses that cannot be read
        raise RefusedError("a page that cannot be read") from error
