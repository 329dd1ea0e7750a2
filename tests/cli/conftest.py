"""Fixtures of the tests that run commands on datasets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from semask_cli.datasets.folders import ROOT_VARIABLES
from tests.support import miniature


@pytest.fixture(autouse=True)
def _no_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """No dataset of the user's is found."""
    for name in ROOT_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def planted(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write a miniature dataset and predictions for it: planted("ade20k", "annotations") -> (root, folder of masks)."""
    return partial(miniature.plant, tmp_path)
