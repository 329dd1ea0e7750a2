"""From the operator to the driver: loaded once, launched on the stream and the device of the moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from semask_cli.ops import launcher
from semask_cli.ops.bindings import KernelError
from semask_cli.ops.nvrtc import machine_code
from semask_cli.ops.status import network_kernels
from tests.support.host_kernels import HostKernels, compiler

SUPPORT = Path(__file__).parents[1] / "support"
KERNEL = network_kernels()["resize_argmax"][0]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def stub_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    source = SUPPORT / "host" / "driver.c"
    command = [
        "-x",
        "c",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        str(source),
        "-o",
        str(folder / "libcuda.so.1"),
    ]
    subprocess.run([compiler() or "g++", *command], check=True)
    return folder


@pytest.fixture
def run(host_kernels: HostKernels, stub_driver: Path) -> Run:
    """Runs a scenario of launch_path.py with the stub as the driver, and the kernels in the cache.

    They must be there before: NVRTC itself would open the stub, and find it wanting.
    """
    try:
        for operator in ("ms_deform_attn", "deform_conv2d"):
            machine_code(network_kernels()[operator][0], (9, 0))
    except KernelError as error:
        pytest.skip(f"nothing to launch: {error}")

    def run(scenario: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"LD_LIBRARY_PATH": str(stub_driver)} | environment
        command = [sys.executable, "-m", "tests.support.launch_path", scenario, str(host_kernels.folder)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=SUPPORT.parents[1])

    return run


def report(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert finished.returncode == 0, finished.stderr
    document: dict[str, Any] = json.loads(finished.stdout)
    assert max(document["errors"]) < 1e-4
    return document


@pytest.mark.parametrize("bindings", ["", "with ctypes"])
@pytest.mark.slow
def test_launches(run: Run, bindings: str) -> None:
    finished = run(f"launch {bindings}")
    assert finished.stderr == ""
    document = report(finished)
    assert document["bindings"] == ("_Library" if bindings else "module")
    launches = document["launches"]
    assert [launch["kernel"] for launch in launches] == ["ms_deform_attn"] * 2 + ["deform_columns", "ms_deform_attn"]
    assert {launch["device"] for launch in launches} == {1}
    assert set(document["guarded"]) == {"cuda:1"}
    streams = [launch["stream"] for launch in launches]
    assert streams == list(range(0x5EA0, 0x5EA4)), "the stream of the moment, asked for at each launch"


@pytest.mark.slow
@pytest.mark.parametrize("bindings", ["", "with ctypes"])
def test_the_plain_formulation_where_the_driver_refuses(run: Run, bindings: str) -> None:
    finished = run(f"plain {bindings}", STUB_NO_BINARY="1")
    assert report(finished)["launches"] == []
    [line] = finished.stderr.splitlines()
    assert line.startswith("the plain formulation runs instead of the kernel ms_deform_attn: cuLibraryLoadData")


def test_kernels_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "loaded", lambda kernel, device: 1)
    assert launcher.available(KERNEL, torch.device("cuda", 0))
    monkeypatch.setenv("SEMASK_KERNELS", "off")
    assert not launcher.available(KERNEL, torch.device("cuda", 0))


def test_rocm_hears_nothing_of_nvrtc(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.version, "hip", "7.0")
    monkeypatch.setattr(launcher, "loaded", lambda kernel, device: pytest.fail("nothing to load"))
    assert not launcher.available(KERNEL, torch.device("cuda", 0))
    assert not caplog.messages


def test_one_line_for_all_kernels_without_a_driver(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(kernel: object, capability: object) -> bytes:
        raise KernelError("libnvrtc.so.nowhere: cannot open shared object file\nand so on")

    monkeypatch.setattr(launcher, "machine_code", missing)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    for operator in network_kernels().values():
        assert isinstance(launcher.loaded.__wrapped__(operator[0], torch.device("cuda", 0)), KernelError)
    [line] = caplog.messages
    assert line.endswith("libnvrtc.so.nowhere: cannot open shared object file")


def test_nothing_is_loaded_while_a_graph_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="run the model once before capturing a CUDA graph"):
        launcher.available(KERNEL, torch.device("cuda", 0))
