"""A pass is one graph for a compiler, and that graph computes what the pass does."""

from __future__ import annotations

import pytest
import torch
from torch.utils._pytree import tree_leaves

from semask_cli.ops import cpu
from tests.support.toy_networks import network_for_graphs, tiny_network


@pytest.mark.slow
@torch.no_grad()
def test_a_pass_is_one_graph() -> None:
    """Of the family that has all parts; tests/export/test_graph.py exports every family."""
    network = network_for_graphs("msfapn")
    pixels = torch.randn(2, 3, 96, 160)
    torch.compiler.reset()
    graph = torch.compile(network, fullgraph=True, backend="eager")
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
