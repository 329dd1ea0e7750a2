"""Which kernels the networks use, and why one does not run."""

from __future__ import annotations

import pytest
import torch

from semask_cli.ops import launcher
from semask_cli.ops.bindings import KernelError
from semask_cli.ops.status import network_kernels, why_plain


@pytest.mark.parametrize("operator", network_kernels())
def test_why_a_plain_formulation_runs(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 0)
    monkeypatch.setattr(launcher, "loaded", lambda kernel, device: 1)
    assert why_plain(operator, device) is None
    monkeypatch.setattr(launcher, "loaded", lambda kernel, device: KernelError("no room"))
    assert why_plain(operator, device) == "no room"
    monkeypatch.setenv("SEMASK_KERNELS", "off")
    assert why_plain(operator, device) == "SEMASK_KERNELS=off"
