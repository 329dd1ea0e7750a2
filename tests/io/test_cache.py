"""Where semask keeps what it can fetch or build again, and whether it may fetch."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from semask_cli.io.cache import cache_folder, offline


def test_the_folder_is_the_users_or_the_platforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMASK_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("SEMASK_CACHE", "~/weights")
    assert cache_folder() == Path.home() / "weights"
    monkeypatch.delenv("SEMASK_CACHE")
    assert cache_folder() == platformdirs.user_cache_path("semask")


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_offline(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMASK_OFFLINE", value)
    assert offline() is expected
    monkeypatch.delenv("SEMASK_OFFLINE")
    assert offline() is False
