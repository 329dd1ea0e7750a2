"""Which kernels the networks use, and why one does not run."""

from __future__ import annotations

import pytest
import torch

from semask_cli.ops import launcher
from semask_cli.ops.bindings import KernelError
from semask_cli.ops.status import PLAIN, network_kernels, why_plain


@pytest.mark.parametrize("operator", network_kernels())
def test_why_a_plain_formulation_runs(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 0)
    monkeypatch.setattr(launcher, "loaded", lambda kernel, device: 1)
    assert why_plain(operator, device) is None
    monkeypatch.setattr(launcher, "loaded", lambda kernel, device: KernelError("no room"))
    kernel = network_kernels()[operator][0]
    said = why_plain(operator, device)
    assert said is not None
    assert said.startswith(f"{PLAIN[operator]}; {kernel.name} for ")
    assert said.endswith(": no room")
    monkeypatch.setenv("SEMASK_KERNELS", "off")
    assert why_plain(operator, device) == f"{PLAIN[operator]}; SEMASK_KERNELS=off"
    monkeypatch.setattr(torch.version, "hip", "7.0")
    said = "the kernels are for NVIDIA GPUs, but torch is built for AMD"
    assert why_plain(operator, device) == f"{PLAIN[operator]}; {said}"
    assert why_plain(operator, torch.device("mps")) == f"{PLAIN[operator]}; there is no kernel for mps"
