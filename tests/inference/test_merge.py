"""Labels and scores do not depend on the tiles, the memory or the device that views are merged with."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semask_cli.inference import merge
from semask_cli.inference.config import Mode
from semask_cli.ops import resize_accumulate
from tests.support import filled
from tests.support.toy_networks import SMALL_MODELS, toy_segmenter

SIDES = st.integers(1, 70)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    family=st.sampled_from(sorted(SMALL_MODELS)),
    height=SIDES,
    width=SIDES,
    mode=st.sampled_from(("whole", "slide")),
    flip=st.booleans(),
    scales=st.sampled_from((None, (0.5, 1.25), "native")),
    tile=st.integers(4, 40),
)
def test_tiles_never_change_labels(
    family: str, height: int, width: int, mode: Mode, flip: bool, scales: object, tile: int
) -> None:
    spec = SMALL_MODELS[family]
    engine = toy_segmenter(spec, mode=mode, crop=(32, 40), stride=(20, 30), flip=flip, scales=scales)
    image = filled.image(height, width, height * 71 + width)
    whole = engine.predict(image).labels
    assert whole.shape == (height, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "TILE", tile)
        tiled = engine.predict(image).labels
    if not np.array_equal(tiled, whole):  # in another tile, a sum may round in another order: only ties may turn
        best = np.sort(engine.scores(image).numpy(), axis=0)
        assert np.all((best[-1] - best[-2])[tiled != whole] < 1e-5)


@settings(max_examples=15)
@given(
    family=st.sampled_from(sorted(SMALL_MODELS)),
    height=SIDES,
    width=SIDES,
    flip=st.booleans(),
    scales=st.sampled_from((None, (0.5, 1.25), "native")),
    memory=st.integers(200_000, 3_000_000),
    device=st.sampled_from(("cpu", "cuda")),
)
def test_a_memory_budget_never_changes_labels(
    family: str, height: int, width: int, flip: bool, scales: object, memory: int, device: str
) -> None:
    """Bands of columns, and a GPU's strips of rows (whose merging is the same on a CPU)."""
    engine = toy_segmenter(SMALL_MODELS[family], mode="slide", crop=(32, 40), stride=(20, 30), flip=flip, scales=scales)
    image = filled.image(height, width, height * 71 + width)
    plentiful = engine._merges([engine.prepare(image)])[0]
    tight = engine._merges([engine.prepare(image)])[0]
    tight.memory, tight.device = memory, torch.device(device)
    labels, scores = plentiful.labels(), plentiful.scores()
    best = scores.sort(0).values
    assert ((tight.labels() == labels) | (best[-1] - best[-2] < 1e-5)).all()
    torch.testing.assert_close(tight.scores(), scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_merging_moves_to_the_cpu_when_the_gpu_is_full(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = toy_segmenter(SMALL_MODELS["mask2former"], mode=mode, crop=(32, 40), stride=(20, 30), flip=True)
    image = filled.image(57, 80, 5)
    expected = engine.predict(image).labels
    calls = itertools.count()

    def full_at_first(*arguments: object, **options: object) -> None:
        if next(calls) == 3:
            raise torch.OutOfMemoryError
        resize_accumulate(*arguments, **options)

    monkeypatch.setattr(merge, "resize_accumulate", full_at_first)
    monkeypatch.setattr(merge, "TILE", 20)
    on_gpu = engine._merges([engine.prepare(image)])[0]
    on_gpu.device, on_gpu.memory = torch.device("cuda"), 1_000_000
    assert np.array_equal(on_gpu.labels().numpy(), expected)
    assert caplog.messages == ["out of memory on cuda: merging on the CPU"]
    assert next(calls) > 8
