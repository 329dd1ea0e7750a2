"""Files packaged with semask: weights.toml, kernels/, the demo and the bundled models."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def project_file(name: str) -> Path:
    """The path of `name`, inside an installed wheel or beside the package in a source tree.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for folder in (_PACKAGE, _PACKAGE.parent):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is missing from the installation at {_PACKAGE}")
