"""The folder in which semask keeps what it can fetch or build again: checkpoints, compiled kernels."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """$SEMASK_CACHE, else the cache folder of the platform."""
    named = os.environ.get("SEMASK_CACHE")
    return Path(named).expanduser() if named else user_cache_path("semask")


def offline() -> bool:
    """Whether SEMASK_OFFLINE forbids the network."""
    return os.environ.get("SEMASK_OFFLINE", "0") not in ("", "0")
