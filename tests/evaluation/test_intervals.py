"""Intervals against scipy's bootstrap, and how often they hold the truth."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from semask_cli.evaluation.intervals import MIN_CLUSTERS, bootstrap, cluster_sums, figures_of, intervals
from semask_cli.evaluation.metrics import ClassTotals, metrics

CLASSES = 5


def draw(rng, images, *, classes=CLASSES):
    """The totals (N, K) of images of one kind: not every class in every image, some images harder than others."""
    labelled = rng.gamma(1.5, 2000, (images, classes)).astype(np.int64) * (rng.random((images, classes)) < 0.7)
    hardness = rng.beta(6, 2, (images, 1)) * np.linspace(1, 0.6, classes)
    right = np.floor(labelled * hardness).astype(np.int64)
    wrong = labelled.sum(axis=1, keepdims=True) - right.sum(axis=1, keepdims=True)
    return ClassTotals(right=right, labelled=labelled, predicted=right + wrong // classes)


def alone(count):
    return [str(number) for number in range(count)]


@pytest.mark.parametrize("index", [0, 2, 4])
@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_intervals_are_those_of_scipys_bootstrap(index, method):
    values = draw(np.random.default_rng(3), 40).stacked()

    def statistic(images, axis):
        sums = values[images].sum(axis=-2).astype(float)
        return figures_of(sums.reshape(-1, 3 * CLASSES), "mmseg")[:, index].reshape(sums.shape[:-1])

    theirs = stats.bootstrap(
        (np.arange(40),), statistic, n_resamples=4000, batch=500, method=method, rng=np.random.default_rng(1)
    )
    ours = bootstrap(values, lambda sums: figures_of(sums, "mmseg"), resamples=4000).interval(index)
    bounds = (ours.bca_low, ours.bca_high) if method == "BCa" else (ours.low, ours.high)
    # The error of a 2.5 % quantile of 4,000 draws is 0.04 standard errors; of the difference of two, 0.06.
    error = 4 * 0.06 * theirs.standard_error
    assert bounds == pytest.approx(tuple(theirs.confidence_interval), abs=error)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(11)
    truth = figures_of(draw(rng, 400_000).stacked().sum(axis=0, keepdims=True).astype(float), "mmseg")[0]
    kinds = {"mIoU": 0, "aAcc": 2, "last class": 4 + CLASSES - 1}
    held = dict.fromkeys(kinds, 0)
    for seed in range(500):
        drawn = bootstrap(draw(rng, 200).stacked(), lambda sums: figures_of(sums, "mmseg"), resamples=1000, seed=seed)
        for kind, index in kinds.items():
            interval = drawn.interval(index)
            held[kind] += interval.low <= truth[index] <= interval.high
    assert all(0.93 <= count / 500 <= 0.97 for count in held.values()), held


def test_the_interval_is_about_the_figure_and_equal_for_every_order_of_the_images():
    totals = draw(np.random.default_rng(5), 60)
    means, classes = intervals(totals, alone(60), "mmseg")
    order = np.random.default_rng(6).permutation(60)
    shuffled = ClassTotals.unstacked(totals.stacked()[order])
    assert intervals(shuffled, [alone(60)[i] for i in order], "mmseg") == (means, classes)
    whole = metrics(ClassTotals.unstacked(totals.stacked().sum(axis=0)), "mmseg")
    for interval, figure in ((means.miou, whole.miou), (means.fwiou, whole.fwiou), (classes[0], whole.iou[0])):
        assert interval.low < figure < interval.high


def test_frames_of_one_drive_are_drawn_together():
    totals = draw(np.random.default_rng(7), 20)
    copies = ClassTotals.unstacked(totals.stacked().repeat(5, axis=0))
    alike, _ = intervals(copies, [str(number // 5) for number in range(100)], "mmseg", unit="drive")
    single, _ = intervals(copies, alone(100), "mmseg")
    assert (alike.clusters, alike.unit, single.clusters) == (20, "drive", 100)
    # A copy tells nothing new: with copies as images of their own the interval would be narrower by sqrt(5).
    width, narrow = alike.miou.high - alike.miou.low, single.miou.high - single.miou.low
    assert width / narrow == pytest.approx(math.sqrt(5), rel=0.15)
    assert cluster_sums(np.array([[1], [2], [4]]), ["b", "a", "b"]).tolist() == [[2], [5]]


def test_too_few_images_give_no_interval_and_a_class_too_rare_none_of_its_own():
    totals = draw(np.random.default_rng(9), 30)
    assert intervals(ClassTotals.unstacked(totals.stacked()[: MIN_CLUSTERS - 1]), alone(9), "mmseg") == (
        None,
        (None,) * CLASSES,
    )
    for part in (totals.right, totals.labelled, totals.predicted):
        part[MIN_CLUSTERS - 1 :, 2] = 0
    means, classes = intervals(totals, alone(30), "mmseg")
    assert means is not None
    assert [interval is None for interval in classes] == [False, False, True, False, False]


def test_nothing_labelled_has_no_interval():
    nothing = np.zeros((12, CLASSES), np.int64)
    means, classes = intervals(ClassTotals(right=nothing, labelled=nothing, predicted=nothing), alone(12), "mmseg")
    assert (means, classes) == (None, (None,) * CLASSES)


def test_memory_is_that_of_the_totals_not_of_the_resamples():
    """5,000 images of 19 classes: weights of all resamples would take 76 MiB, their draws as much again."""
    values = draw(np.random.default_rng(0), 5000, classes=19).stacked()
    tracemalloc.start()
    bootstrap(values, lambda sums: figures_of(sums, "mmseg"), resamples=2000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(MIN_CLUSTERS, 40), st.sampled_from(["mmseg", "detectron2"]))
def test_an_interval_is_within_what_a_figure_can_be(seed, images, definition):
    totals = draw(np.random.default_rng(seed), images)
    perfect = ClassTotals(right=totals.labelled, labelled=totals.labelled, predicted=totals.labelled)
    for given_totals in (totals, perfect):
        drawn = bootstrap(given_totals.stacked(), lambda sums: figures_of(sums, definition), resamples=200)
        for interval in filter(None, map(drawn.interval, range(4 + CLASSES))):
            assert 0 <= interval.low <= interval.high <= 100 + 1e-9
            assert 0 <= interval.bca_low <= interval.bca_high <= 100 + 1e-9
    means, _ = intervals(perfect, alone(images), definition)
    if np.count_nonzero(totals.labelled.any(axis=1)) < MIN_CLUSTERS:
        assert means is None
    else:
        assert means.miou.low == 100
