"""Limits of a process's memory."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from semask_cli.inference.memory import limit_gpu_memory


@pytest.mark.parametrize(("budget", "fraction"), [(20, 0.5), (500, 1.0)])
def test_a_gpu_budget_comes_on_top_of_what_is_held(
    budget: int, fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=100))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: limits.append(share))
    limit_gpu_memory(torch.device("cuda", 0), budget)
    assert limits == [fraction]
