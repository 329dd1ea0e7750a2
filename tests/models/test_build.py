"""The 17 published rows become networks with the names, shapes and parameters of the published files."""

from __future__ import annotations

import pytest

from semask_cli.checkpoints.matching import on_meta
from semask_cli.zoo import load_zoo
from tests.support.figures import manifest

PUBLISHED = [name for name, spec in load_zoo().models.items() if spec.miou]
UNUSED = "criterion.empty_weight"  # of the training loss


def test_there_are_seventeen_published_rows() -> None:
    assert len(PUBLISHED) == 17


@pytest.mark.parametrize("row", PUBLISHED)
def test_names_shapes_and_parameters_are_the_published_ones(row: str) -> None:
    network, published = on_meta(load_zoo().find(row)), manifest(row)
    tensors = {name: shape for name, shape in published["tensors"].items() if name != UNUSED}
    assert {name: list(tensor.shape) for name, tensor in network.state_dict().items()} == tensors
    assert sum(p.numel() for p in network.parameters()) == published["params"]
    for one, other in published.get("shared", []):
        assert network.get_parameter(one) is network.get_parameter(other)
