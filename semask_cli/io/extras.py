"""Packages that an extra of semask brings, imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from semask_cli.errors import UsageError


def import_extra(name: str, *, extra: str, purpose: str) -> ModuleType:
    """The module `name`, which `semask[extra]` brings.

    Raises:
        UsageError: its package is not installed; the message names it, and the `purpose` that needs it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UsageError(
            f"{purpose} needs {package}, which is not installed", f"Install it: pip install 'semask[{extra}]'."
        ) from error
