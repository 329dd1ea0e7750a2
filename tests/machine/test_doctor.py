from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from semask_cli.machine.doctor import diagnose
from semask_cli.ops.status import network_kernels


def test_as_json(semask: Callable[..., object], tmp_path: Path) -> None:
    kernels = tmp_path / "cache" / "kernels"
    kernels.mkdir(parents=True)
    (kernels / "one.bin").write_bytes(bytes(1000))
    document = json.loads(semask("doctor", "--json").stdout)  # type: ignore[attr-defined]
    assert document["schema_version"] == 1
    assert document["versions"]["torch"] == torch.__version__
    assert document["kernels"] == {"path": str(kernels), "files": 1, "bytes": 1000}
    assert document["checkpoints"]["files"] == 0
    assert document["free_bytes"] > 0
    assert document["offline"] is True
    assert document["devices"][-1]["name"] == "cpu"
    on_cpu = {line["operator"]: line["path"] for line in document["operators"] if line["device"] == "cpu"}
    assert on_cpu == dict.fromkeys(network_kernels(), "plain")


def test_as_a_table(semask: Callable[..., object]) -> None:
    shown = semask("doctor").stdout  # type: ignore[attr-defined]
    assert torch.__version__ in shown
    assert "there is no kernel for cpu" in shown


def test_no_path_is_cut_in_a_pipe(
    semask: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / ("x" * 200)
    monkeypatch.setenv("SEMASK_CACHE", str(cache))
    assert f"{cache}/checkpoints  0 files" in semask("doctor").stdout  # type: ignore[attr-defined]


def test_before_there_is_a_cache(tmp_path: Path) -> None:
    assert not (tmp_path / "cache").exists()
    assert diagnose().kernels.files == 0
