"""Optional packages, imported on first use."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from semask_cli.errors import UsageError


def import_extra(name: str, *, extra: str, purpose: str) -> ModuleType:
    """Import the module `name` of the optional dependencies `semask[extra]`.

    Raises:
        UsageError: its package is not installed; the message names it and the `purpose`.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UsageError(
            f"{purpose} needs {package}, which is not installed", f"Install it: pip install 'semask[{extra}]'."
        ) from error
