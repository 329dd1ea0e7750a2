"""Shell completion of the names of models and datasets."""

from __future__ import annotations

from semask_cli.datasets.spec import dataset_names
from semask_cli.zoo import load_zoo


def complete_model(incomplete: str) -> list[str]:
    """Matching models, including the user's own, but not those of --zoo."""
    return [name for name in load_zoo().models if name.startswith(incomplete)]


def complete_dataset(incomplete: str) -> list[str]:
    """Matching datasets."""
    return [name for name in dataset_names() if name.startswith(incomplete)]
