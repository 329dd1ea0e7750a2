"""A pass of every family is one graph for a compiler, and that graph computes what the pass does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from semask_cli.models.network import Network
from semask_cli.ops import cpu
from semask_cli.zoo import load_zoo
from tests.support.toy_networks import tiny_network

FAMILIES = {spec.family: name for name, spec in load_zoo().models.items() if spec.miou}
WINDOWS = {"fpn": 12}  # the others' is 7
CHANGED = 0.5  # what gamma and the bias tables are, zero without training: they must take part


def exported(network: Network, pixels: Tensor) -> nn.Module:
    return torch.export.export(network, (pixels,)).module()


def compiled(network: Network, pixels: Tensor) -> Callable[[Tensor], object]:
    torch.compiler.reset()
    return torch.compile(network, fullgraph=True, backend="eager")


@pytest.mark.slow
@pytest.mark.parametrize(("family", "compiler"), [*((family, exported) for family in FAMILIES), ("msfapn", compiled)])
@torch.no_grad()
def test_a_pass_is_one_graph(family: str, compiler: Callable[[Network, Tensor], Callable[[Tensor], object]]) -> None:
    window = WINDOWS.get(family, 7)
    backbone = {"window": window, "semantic_window": window, "depths": (2, 1, 1, 1), "global_stages": (2, 3)}
    network = tiny_network(FAMILIES[family], **backbone).requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            parameter.fill_(CHANGED)
        elif name.endswith("bias_table"):
            nn.init.normal_(parameter, std=CHANGED)
    pixels = torch.randn(2, 3, 96, 160)  # no whole windows
    graph = compiler(network, pixels)
    for found, expected in zip(tree_leaves(graph(pixels)), tree_leaves(network(pixels)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_a_graph_is_of_no_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formulations that one CPU runs faster than another do not get into a graph, which may run anywhere."""
    targets = []
    for capability, vendor in (("AVX2", "GenuineIntel"), ("AVX512", "AuthenticAMD")):
        cpu.onednn_is_faster.cache_clear()
        cpu.small_products_are_slow.cache_clear()
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        monkeypatch.setattr(cpu, "_cpuinfo", lambda vendor=vendor: {"vendor_id": vendor})
        network = tiny_network("swin-t-fpn").requires_grad_(False)
        program = torch.export.export(network, (torch.randn(1, 3, 64, 64),))
        targets.append([str(node.target) for node in program.graph.nodes])
    cpu.onednn_is_faster.cache_clear()
    cpu.small_products_are_slow.cache_clear()
    assert targets[0] == targets[1]
