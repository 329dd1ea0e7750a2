"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.command_line import Browse, Run

# A busy machine is not a wrong result.
hypothesis.settings.register_profile("semask", deadline=None)
hypothesis.settings.load_profile("semask")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's cache or zoo, nor the network."""
    monkeypatch.setenv("SEMASK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEMASK_OFFLINE", "1")
    monkeypatch.delenv("SEMASK_ZOO", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def semask(tmp_path: Path) -> Run:
    """Run the real command line in `tmp_path`: semask("predict", …) -> finished process with text output."""

    def run(*arguments: str | Path, check: int | None = 0, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "semask_cli", *map(str, arguments)]
        environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
        settings = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, **options}
        finished = subprocess.run(command, check=False, **settings)  # type: ignore[call-overload]
        if check is not None:
            assert finished.returncode == check, (finished.returncode, finished.stdout, finished.stderr)
        return finished

    return run


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Open a page in headless Chromium from its file:// address; it must write no word on the console."""

    def open_page(page: Path, *options: str) -> str:
        browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if browser is None:
            pytest.skip("no Chromium on this machine")
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
            *("--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,2400"),
            *options,
            page.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert "CONSOLE" not in done.stderr, done.stderr
        return done.stdout

    return open_page


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """The checkpoint of a row with deterministic weights; the last one asked for is kept on disk."""
    from tests.support.figures import write_checkpoint

    folder = tmp_path_factory.mktemp("checkpoints")

    def checkpoint(row: str) -> Path:
        path = folder / f"{row}.pth"
        if not path.exists():
            for old in folder.iterdir():
                old.unlink()
            write_checkpoint(row, path)
        return path

    yield checkpoint
    for old in folder.iterdir():
        old.unlink()
