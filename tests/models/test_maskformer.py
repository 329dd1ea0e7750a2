"""MaskFormer, stage by stage, against figures from the authors' code."""

from __future__ import annotations

import pytest
import torch

from semask_cli.models.mask_classification import MaskClassifier
from tests.support.figures import figure, figures, published_network
from tests.support.mask_figures import assert_published, stages_and_prediction


@pytest.mark.slow
@torch.inference_mode()
def test_every_stage_agrees_with_the_published_code() -> None:
    network = published_network("swin-l-mf")
    assert isinstance(network, MaskClassifier)
    found = figures("network/swin-l-mf__*.npz")
    assert len(found) == 2
    for path in found:
        expected = figure(path)
        assert_published(expected, *stages_and_prediction(network, expected), keys=9)
