"""The graph of every family holds standard operators alone, and computes the scores of the engine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semask_cli.export.graph import ImageScores, trace
from semask_cli.inference.merge import Merge, View
from semask_cli.inference.views import normalise
from tests.support.toy_networks import FAMILIES, network_for_graphs

SIZE = (60, 90)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_graph_of_standard_operators(family: str) -> None:
    network = network_for_graphs(family)
    program = trace(network, height=SIZE[0], width=SIZE[1])
    assert not [node for node in program.graph.nodes if "semask" in str(node.target)]
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    batch = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
    with torch.inference_mode():
        [prediction] = network.predict(normalise([image], torch.device("cpu")))
        merge = Merge([View(prediction)], size=SIZE, softmax=False, device=torch.device("cpu"), memory=2**30)
        expected = merge.scores()
        torch.testing.assert_close(program.module()(batch)[0], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ImageScores(network)(batch)[0], expected, rtol=1e-4, atol=1e-5)
