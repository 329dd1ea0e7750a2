"""Class scores of masks, row by row, against the published order on the whole: resize, sigmoid, sum, crop."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from semask_cli.models.mask_classification import MaskClassification


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    queries=st.integers(1, 6),
    classes=st.integers(1, 5),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_rows_follow_the_published_order(
    height: int, width: int, queries: int, classes: int, seed: int, data: st.DataObject
) -> None:
    y0 = data.draw(st.integers(0, height - 1))
    y1 = data.draw(st.integers(y0 + 1, height))
    padded = (height + -height % 32, width + -width % 32)
    generator = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(queries, classes + 1, generator=generator)
    mask_logits = 4 * torch.randn(queries, padded[0] // 4, padded[1] // 4, generator=generator)

    resized = F.interpolate(mask_logits[None], padded, mode="bilinear", align_corners=False)[0]
    scores = torch.einsum("qc,qhw->chw", class_logits.softmax(-1)[:, :-1], resized.sigmoid())[:, :height, :width]

    rows = MaskClassification(class_logits, mask_logits, (height, width), padded).rows(y0, y1)
    assert rows.shape == (1, classes, y1 - y0, width)
    torch.testing.assert_close(rows[0], scores[:, y0:y1], atol=1e-5, rtol=1e-5)
