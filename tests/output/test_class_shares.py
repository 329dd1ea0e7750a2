"""The classes of a label map, by the pixels that they have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from semask_cli.datasets import classes
from semask_cli.output.class_shares import class_shares

ADE20K = classes("ade20k")
label_maps = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20))
regions = label_maps.map(lambda labels: labels.repeat(5, axis=1).repeat(5, axis=0))


@settings(max_examples=30)
@given(labels=label_maps | regions, seed=st.integers(0, 9), strip=st.sampled_from((1, 50, 2**22)))
def test_shares_count_every_pixel(labels: np.ndarray, seed: int, strip: int) -> None:
    confidence = np.random.RandomState(seed).rand(*labels.shape).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("semask_cli.output.class_shares._STRIP", strip)
        shares = class_shares(labels, ADE20K.classes, ADE20K.palette, confidence=confidence)
    assert sum(s.pixels for s in shares) == (labels < 150).sum()
    assert [s.pixels for s in shares] == sorted((s.pixels for s in shares), reverse=True)
    for s in shares:
        here = labels == s.index
        assert (s.name, s.colour) == (ADE20K.classes[s.index], tuple(ADE20K.palette[s.index]))
        assert s.pixels == here.sum()
        assert s.share == here.sum() / labels.size
        assert s.mean_confidence == pytest.approx(confidence[here].mean(dtype=np.float64))
