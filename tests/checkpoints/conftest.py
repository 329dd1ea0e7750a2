"""The zoo of small rows, and the file of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from semask_cli.zoo import ModelSpec, Zoo, load_zoo
from tests.support.drive_server import Drive
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


@pytest.fixture
def drive(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    """Drive, with the file of `small` on it."""
    with Drive(tmp_path) as drive:
        for variable, value in drive.environment.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.delenv("SEMASK_OFFLINE")
        drive.files["small-drive-id"] = file.read_bytes()
        yield drive
