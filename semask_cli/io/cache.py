"""The cache folder, for what can be downloaded or built again: checkpoints, compiled kernels."""

from __future__ import annotations

import os
from pathlib import Path

FREE_SPACE = "Free some space, or set SEMASK_CACHE to another folder."


def cache_folder() -> Path:
    """$SEMASK_CACHE, else the cache folder of the platform."""
    if named := os.environ.get("SEMASK_CACHE"):
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("semask")


def offline() -> bool:
    """Whether SEMASK_OFFLINE forbids the network."""
    return os.environ.get("SEMASK_OFFLINE", "0") not in ("", "0")
