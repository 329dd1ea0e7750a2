"""The twelve Semantic-FPN rows against figures from the authors' code: features, semantic maps, logits.

Float32 noise moves a logit by 6e-6; the smallest mistake known (LayerNorm's eps) by 9e-5.
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from semask_cli.inference.views import normalise
from semask_cli.models.fpn import SemanticFPN
from semask_cli.zoo import load_zoo
from tests.support.figures import figure, figures, published_network

PUBLISHED = [name for name, spec in load_zoo().models.items() if spec.family == "fpn" and spec.miou]
ROWS = sorted(PUBLISHED)  # rows of one backbone share most of their tensors


SMALL = ("swin-t", "swin-s")


@pytest.fixture(
    scope="module", params=[pytest.param(r, marks=[pytest.mark.slow] * (not r.startswith(SMALL))) for r in ROWS]
)
def network(request: pytest.FixtureRequest) -> tuple[str, SemanticFPN]:
    built = published_network(request.param)
    assert isinstance(built, SemanticFPN)
    return request.param, built


@torch.inference_mode()
def test_every_stage_agrees_with_the_published_code(network: tuple[str, SemanticFPN]) -> None:
    row, built = network
    found = figures(f"network/{row}__*.npz")
    assert len(found) == 2
    head = built.decode_head
    built.decode_head = deepcopy(head)
    built.prepare_for_cpu_()
    for path in found:
        expected = figure(path)
        features, semantic_maps = built.backbone(normalise([expected.image], torch.device("cpu")))
        for i in range(4):
            assert expected.spread_error(f"feat{i}", features[i].numpy()) < 1e-5, (path, i)
            assert expected.spread_error(f"seg{i}", semantic_maps[i].numpy()) < 1e-5, (path, i)
        for logits in (head(features).numpy(), built.decode_head(features).numpy()):
            assert expected.error("logits", logits) < 3e-5, path
            assert np.mean(logits.argmax(1) == expected["argmax"]) > 0.999, path


@pytest.mark.parametrize("network", ["swin-t-fpn", "swin-b-fpn"], indirect=True)  # windows of 7 and of 12
@torch.inference_mode()
def test_a_batch_is_its_images_one_by_one(network: tuple[str, SemanticFPN]) -> None:
    _, built = network
    images = normalise([figure(f"network/swin-t-fpn__128x160__s{s}.npz").image for s in (1, 1)], torch.device("cpu"))
    images[1] = images[1].flip(-1)
    together, apart = built(images), torch.cat([built(images[:1]), built(images[1:])])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)
