"""Writing results: a file is there whole, or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from semask_cli.errors import OutputError


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`, making its folders and replacing what stood there, in one step seen from outside.

    Raises:
        OutputError: no permission, no space, a folder of that name. Nothing of the attempt is left.
    """
    unfinished = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(content)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}", "Choose another place to write to."
        ) from error
