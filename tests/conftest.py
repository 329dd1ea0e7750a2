"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.command_line import Browse, Run
from tests.support.forking import finished_fork

if TYPE_CHECKING:
    from tests.support.host_kernels import HostKernels
    from toy_street import Scene

# A shell ignores Ctrl-C for what it starts in the background, and so would every process that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Each of pytest-xdist's processes computes with one thread: together they fill the cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is not a wrong result.
hypothesis.settings.register_profile("semask", deadline=None)
hypothesis.settings.load_profile("semask")


def pytest_configure(config: pytest.Config) -> None:
    """A GPU is there for `pytest -m gpu` alone: no other test's result depends on whether this machine has one."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        drawn = tempfile.TemporaryDirectory(prefix="semask-weights-")
        os.environ["SEMASK_DRAWN_WEIGHTS"] = drawn.name  # see tests/support/filled.py
        config.add_cleanup(drawn.cleanup)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.markexpr != "gpu":
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]
    # pytest-xdist's first process begins at the head, of which the others steal nothing: one alone starts Ray. That
    # leaves threads, which do not survive a fork: what forks comes before.
    items.sort(key=lambda item: 0 if item.get_closest_marker("forks") else 1 if item.get_closest_marker("ray") else 2)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's cache, zoo or datasets, nor the network."""
    from semask_cli.datasets.folders import ROOT_VARIABLES  # with numpy, for which the threads are set above

    monkeypatch.setenv("SEMASK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEMASK_OFFLINE", "1")
    for variable in ("SEMASK_ZOO", *ROOT_VARIABLES):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def planted(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write a miniature dataset and predictions for it: planted("ade20k", "annotations") -> (root, folder of masks)."""
    from tests.support import miniature

    return partial(miniature.plant, tmp_path)


@pytest.fixture
def semask(tmp_path: Path) -> Run:
    """Run the real command line in `tmp_path`: semask("predict", …) -> finished process with text output.

    It is forked (see `support.forking`), but with options for `subprocess.run` started anew.
    """

    def run(*arguments: str | Path, check: int | None = 0, **options: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
        if options:
            command = [sys.executable, "-m", "semask_cli", *map(str, arguments)]
            settings = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, **options}
            finished = subprocess.run(command, check=False, **settings)  # type: ignore[call-overload]
        else:
            finished = finished_fork(*arguments, cwd=tmp_path, environment=environment)
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
def scenes() -> list[Scene]:
    """Unseen in training."""
    from toy_street import TEST_SEEDS, render

    return [render(seed) for seed in TEST_SEEDS[:12]]


@pytest.fixture(scope="session")
def host_kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    """Compiled once: pytest's cache keeps them, where it is switched on."""
    from tests.support.host_kernels import HostKernels, compiler

    if compiler() is None:
        pytest.skip("g++ is not installed: it compiles the kernels for the CPU")
    cache = getattr(request.config, "cache", None)
    return HostKernels(cache.mkdir("host-kernels") if cache else tmp_path_factory.mktemp("host-kernels"))


@pytest.fixture
def on_host(host_kernels: HostKernels, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The CUDA implementations of the operators, called with CPU tensors, run the kernels' sources on the CPU.

    New tensors are filled with NaN, so that a number that no kernel wrote is noticed.
    """
    import torch

    from semask_cli.ops import launcher

    monkeypatch.setattr(launcher, "available", lambda kernel, device: True)
    monkeypatch.setattr(launcher, "launch", host_kernels.launch)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


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
