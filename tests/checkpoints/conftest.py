"""The zoo of small rows, and the file of one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from semask_cli.zoo import ModelSpec, Zoo, load_zoo
from tests.support.published import mmseg_file, weights, write_zoo


@pytest.fixture
def cache_folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def zoo_file(tmp_path: Path) -> Path:
    return write_zoo(tmp_path / "zoo.toml")


@pytest.fixture
def zoo(zoo_file: Path) -> Zoo:
    return load_zoo(zoo_file)


@pytest.fixture
def spec(zoo: Zoo) -> ModelSpec:
    return zoo.find("small")


@pytest.fixture
def file(spec: ModelSpec, tmp_path: Path) -> Path:
    """The published file of `spec`, 4 MB of optimizer inside."""
    return mmseg_file(tmp_path / "published.pth", weights(spec), ballast=1_000_000)
