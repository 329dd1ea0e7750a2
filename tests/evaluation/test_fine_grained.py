"""mIoU by image and by class against the published definition, written out image by image."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.evaluation.fine_grained import QUANTILES, fine_grained
from semask_cli.evaluation.metrics import ClassTotals, class_totals, confusion
from tests.support import miniature
from tests.support.filled import labels as filled

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics" / "fine_grained.json"


def by_definition(maps, classes, percent):
    """(mIoU^I, mIoU^C) of the worst `percent` of images, from (label, prediction) maps."""
    by_image, by_class = [], {c: [] for c in range(classes)}
    for labels, predicted in maps:
        counted = labels != 255
        ious = {}
        for c in np.unique(labels[counted]):
            truth, guess = (labels == c) & counted, (predicted == c) & counted
            ious[c] = 100 * (truth & guess).sum() / (truth | guess).sum()
            by_class[c].append(ious[c])
        if ious:
            by_image.append(sum(ious.values()) / len(ious))

    def worst(values):
        kept = sorted(values)[: max(1, int(percent / 100 * len(values)))]
        return sum(kept) / len(kept)

    means = [worst(values) for values in by_class.values() if values]
    return worst(by_image), sum(means) / len(means)


def totals_of(maps, classes):
    stacks = [class_totals(confusion(labels, predicted, classes)).stacked() for labels, predicted in maps]
    return ClassTotals.unstacked(np.array(stacks))


@pytest.mark.parametrize("images", [1, 7, 40])
def test_the_figures_are_those_of_the_definition(images):
    maps = []
    for seed in range(images):
        labels = miniature.labels(20, 30, 6, seed=seed)
        labels[labels == seed % 6] = 255  # not every class is in every image
        maps.append((labels, miniature.prediction(labels, 6, seed)))
    found = fine_grained(totals_of(maps, 6))
    assert (found.miou_by_image, found.miou_by_class) == pytest.approx(by_definition(maps, 6, 100))
    for q in QUANTILES:
        ours = (found.worst_by_image[str(q)], found.worst_by_class[str(q)])
        assert ours == pytest.approx(by_definition(maps, 6, q))


def test_the_figures_are_those_of_the_authors_code():
    maps = []
    for seed in range(23):
        labels = filled(20, 30, 6, seed=seed)
        labels[labels == seed % 6] = 255
        keep = np.random.RandomState(seed + 2000).random_sample((20, 30)) < 0.6
        other = filled(20, 30, 6, seed=seed + 1000, ignore=None)
        maps.append((labels, np.where(keep & (labels != 255), labels, other).astype(np.uint8)))
    found = fine_grained(totals_of(maps, 6))
    theirs = json.loads(GOLDEN.read_text())["figures"]
    whole = theirs.pop("100")
    assert (found.miou_by_image, found.miou_by_class) == pytest.approx((whole["by_image"], whole["by_class"]), abs=1e-4)
    assert found.worst_by_image == pytest.approx({q: figures["by_image"] for q, figures in theirs.items()}, abs=1e-4)
    assert found.worst_by_class == pytest.approx({q: figures["by_class"] for q, figures in theirs.items()}, abs=1e-4)


def test_a_class_that_is_only_predicted_has_no_iou_in_an_image():
    labels, predicted = np.array([[0, 0, 255]], np.uint8), np.array([[0, 1, 1]], np.uint8)
    assert fine_grained(totals_of([(labels, predicted)], 2)).miou_by_image == 50


def test_without_labels_there_is_nothing_to_measure():
    nothing = np.full((2, 2), 255, np.uint8)
    found = fine_grained(totals_of([(nothing, nothing)], 2))
    assert (found.miou_by_image, found.miou_by_class, found.worst_by_image["5"]) == (None, None, None)


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_the_worst_are_never_better_than_all(seed, images):
    rng = np.random.default_rng(seed)
    right, missed, wrong = rng.integers(0, 50, (3, images, 4)) * (rng.random((3, images, 4)) < 0.7)
    found = fine_grained(ClassTotals(right=right, labelled=right + missed, predicted=right + wrong))
    for whole, worst in (
        (found.miou_by_image, found.worst_by_image),
        (found.miou_by_class, found.worst_by_class),
    ):
        ordered = [*worst.values(), whole]
        if whole is not None:
            assert all(a <= b or math.isclose(a, b) for a, b in pairwise(ordered))
