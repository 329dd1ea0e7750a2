"""Labels are the argmax of scores, one by one or in batches, in every mode."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semask_cli.inference.config import Keep, Mode
from semask_cli.output.segmentation import Segmentation
from tests.support import filled
from tests.support.toy_networks import SMALL_MODELS, toy_segmenter

SIDES = st.integers(1, 70)


@settings(max_examples=40)
@given(
    family=st.sampled_from(sorted(SMALL_MODELS)),
    height=SIDES,
    width=SIDES,
    mode=st.sampled_from(("whole", "slide")),
    flip=st.booleans(),
)
def test_labels_are_the_argmax_of_scores(family: str, height: int, width: int, mode: Mode, flip: bool) -> None:
    engine = toy_segmenter(SMALL_MODELS[family], mode=mode, crop=(32, 40), stride=(20, 30), flip=flip)
    image = filled.image(height, width, height * 71 + width)
    scores = engine.scores(image).numpy()
    labels = engine.predict(image).labels
    chosen = np.take_along_axis(scores, labels[None].astype(np.int64), 0)[0]
    # In exact ties softmax may round two logits to one probability: the label is still a best one.
    np.testing.assert_array_less(scores.max(0) - chosen, 1e-6)
    kept = engine.predict(image, keep=Keep(confidence=True))
    assert kept.confidence is not None
    np.testing.assert_allclose(kept.confidence, scores.max(0), rtol=1e-6)
    shares = scores / scores.sum(0)
    entropy = -(shares * np.log(np.maximum(shares, 1e-38))).sum(0) / np.log(len(scores))
    kept = engine.predict(image, keep=Keep(entropy=True, top=3))
    assert kept.confidence is None
    assert kept.entropy is not None
    np.testing.assert_allclose(kept.entropy, entropy, atol=1e-5)
    assert kept.scores is not None
    assert kept.score_labels is not None
    np.testing.assert_allclose(kept.scores, np.sort(scores, axis=0)[:-4:-1], rtol=1e-3, atol=1e-7)
    chosen = np.take_along_axis(scores, kept.score_labels.astype(np.int64), 0)
    np.testing.assert_allclose(chosen, kept.scores, rtol=1e-3, atol=1e-7)
    all_of_them = engine.predict(image, keep=Keep(top=len(scores)))
    assert all_of_them.score_labels is None
    assert all_of_them.scores is not None
    np.testing.assert_allclose(all_of_them.scores, scores, rtol=1e-3, atol=1e-7)


def test_settings_tell_rows_apart_that_have_the_same_weights() -> None:
    segmenter = toy_segmenter(SMALL_MODELS["fpn"])
    before, row = segmenter.settings, segmenter.spec
    segmenter.spec = replace(row, miou=1.0, source="elsewhere")
    assert segmenter.settings == before
    for other in (replace(row, short_side=row.short_side + 1), replace(row, head={"heads": 4})):
        segmenter.spec = other
        assert {key for key in before if segmenter.settings[key] != before[key]} == {"row"}


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_batches_never_change_labels(mode: Mode) -> None:
    engine = toy_segmenter(SMALL_MODELS["fpn"], mode=mode, crop=(32, 40), stride=(20, 30), flip=True, scales=(0.5, 1.0))
    image = filled.image(57, 80, 5)
    one_by_one = engine.predict(image).labels
    engine._batches.size = 3
    assert np.array_equal(engine.predict(image).labels, one_by_one)


def test_a_constant_image_keeps_its_class_in_every_mode() -> None:
    """Padding, flipping, windows and averaging leave an image of one colour alone."""
    spec = SMALL_MODELS["fpn"]
    image = np.full((40, 64, 3), (200, 30, 90), np.uint8)
    expected = toy_segmenter(spec).predict(image).labels
    assert len(np.unique(expected)) == 1
    for mode in ("whole", "slide"):
        engine = toy_segmenter(spec, mode=mode, crop=(32, 40), stride=(20, 30), flip=True, scales=(0.5, 1.5))
        assert np.array_equal(engine.predict(image).labels, expected)


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_images_together_have_the_labels_of_each_alone(mode: Mode) -> None:
    engine = toy_segmenter(SMALL_MODELS["fpn"], mode=mode, crop=(32, 40), stride=(20, 30), flip=True)
    images = [filled.image(57 + 20 * (seed % 3 == 2), 80, seed) for seed in range(12)]
    alone = [engine.predict(image).labels for image in images]
    engine._batches.size = 4
    together = [result.labels for result in engine.predict_each(images) if isinstance(result, Segmentation)]
    assert len(together) == len(alone)
    assert all(map(np.array_equal, together, alone))
