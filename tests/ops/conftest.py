from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from semask_cli.ops import launcher
from tests.support.host_kernels import HostKernels, compiler


@pytest.fixture(scope="session")
def host_kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    """Compiled once: pytest's cache keeps them, where it is switched on."""
    if compiler() is None:
        pytest.skip("g++ is not installed: it compiles the kernels for the CPU")
    cache = getattr(request.config, "cache", None)
    return HostKernels(cache.mkdir("host-kernels") if cache else tmp_path_factory.mktemp("host-kernels"))


@pytest.fixture
def on_host(host_kernels: HostKernels, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The CUDA implementations of the operators, called with CPU tensors, run the kernels' sources on the CPU.

    New tensors are filled with NaN, so that a number that no kernel wrote is noticed.
    """
    monkeypatch.setattr(launcher, "available", lambda kernel, device: True)
    monkeypatch.setattr(launcher, "launch", host_kernels.launch)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
