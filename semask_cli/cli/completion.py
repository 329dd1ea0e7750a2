"""What the Tab key offers for the names of models and datasets."""

from __future__ import annotations

from semask_cli.datasets.spec import dataset_names
from semask_cli.zoo import load_zoo


def complete_model(incomplete: str) -> list[str]:
    """The models that begin so, the user's own among them, but for those of --zoo."""
    return [name for name in load_zoo().models if name.startswith(incomplete)]


def complete_dataset(incomplete: str) -> list[str]:
    """The datasets that begin so."""
    return [name for name in dataset_names() if name.startswith(incomplete)]
