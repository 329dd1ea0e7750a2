"""Class scores of masks, for a part of the image, against the published order: resize, sigmoid, sum, crop."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from semask_cli.models.mask_classification import MaskClassification


@settings(max_examples=40)
@given(
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    queries=st.integers(1, 6),
    classes=st.integers(1, 5),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_scores_follow_the_published_order(
    height: int, width: int, queries: int, classes: int, seed: int, data: st.DataObject
) -> None:
    y0 = data.draw(st.integers(0, height - 1))
    y1 = data.draw(st.integers(y0 + 1, height))
    x0 = data.draw(st.integers(0, width - 1))
    x1 = data.draw(st.integers(x0 + 1, width))
    padded = (height + -height % 32, width + -width % 32)
    generator = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(queries, classes + 1, generator=generator)
    mask_logits = 4 * torch.randn(queries, padded[0] // 4, padded[1] // 4, generator=generator)

    resized = F.interpolate(mask_logits[None], padded, mode="bilinear", align_corners=False)[0]
    scores = torch.einsum("qc,qhw->chw", class_logits.softmax(-1)[:, :-1], resized.sigmoid())[:, :height, :width]

    prediction = MaskClassification(class_logits, mask_logits, (height, width), padded)
    part = prediction.class_map(range(y0, y1), range(x0, x1))
    assert (part.heights, part.widths, part.origin) == ((height,), (width,), (y0, x0))
    torch.testing.assert_close(part.maps, scores[:, y0:y1, x0:x1], atol=1e-5, rtol=1e-5)
