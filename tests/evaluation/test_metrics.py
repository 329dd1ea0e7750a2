import json
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from semask_cli.datasets.spec import Definition
from semask_cli.evaluation.metrics import DEFINITIONS, class_totals, confusion, mean, metrics, precision_and_dice
from tests.support.filled import labels

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"


def golden(pattern):
    return [pytest.param(json.loads(file.read_text()), id=file.stem) for file in sorted(GOLDEN.glob(pattern))]


def percent(values):
    return np.array([math.nan if value is None else 100 * value for value in values])


@pytest.mark.parametrize("figures", golden("mmseg__*.json"))
def test_mmsegs_definition(figures):
    count = figures["num_classes"]
    total = np.zeros((count, count + 1), np.int64)
    for image in figures["images"]:
        size, seed = (image["H"], image["W"]), image["seed"]
        truth = labels(*size, figures["gt_classes"], seed=seed)
        if figures["reduce_zero_label"]:
            truth = np.where(truth == 0, 255, np.where(truth == 255, 255, truth - 1)).astype(np.uint8)
        right = labels(*size, 2, seed=seed + 500, ignore=None) == 1
        other = labels(*size, figures["pred_classes"], seed=seed + 1000, ignore=None)
        total += confusion(truth, np.where(right, np.where(truth == 255, 0, truth), other), count)
    ours = metrics(class_totals(total), "mmseg")
    for name in ("aAcc", "mIoU", "mAcc"):
        assert getattr(ours, name.lower()) / 100 == pytest.approx(figures[name], abs=1e-12)
    np.testing.assert_allclose(ours.iou, percent(figures["IoU"]), rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours.acc, percent(figures["Acc"]), rtol=0, atol=1e-10)
    _, dice = precision_and_dice(class_totals(total), "mmseg")
    np.testing.assert_allclose(dice, percent(figures["Dice"]), rtol=0, atol=1e-10)
    assert mean(dice) / 100 == pytest.approx(figures["mDice"], abs=1e-12)


@pytest.mark.parametrize("figures", golden("detectron2__*.json"))
def test_detectron2s_definition(figures):
    count = figures["num_classes"]
    total = np.zeros((count, count + 1), np.int64)
    for *size, seed in figures["cases_h_w_seed"]:
        truth = labels(*size, figures["gt_classes"], seed=seed)
        other = labels(*size, figures["pred_classes"], seed=seed + 1000, ignore=None)
        keep = np.random.RandomState(seed + 2000).random_sample(size) < 0.6
        total += confusion(truth, np.where(keep & (truth != 255), truth, other), count)
    ours = metrics(class_totals(total), "detectron2")
    for name, value in {"pACC": ours.aacc, "mIoU": ours.miou, "mACC": ours.macc, "fwIoU": ours.fwiou}.items():
        assert value / 100 == pytest.approx(figures[name] / 100, abs=1e-12)
    np.testing.assert_allclose(ours.iou / 100, percent(figures["IoU"]) / 1e4, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.acc / 100, percent(figures["ACC"]) / 1e4, rtol=0, atol=1e-12)


def test_every_definition_that_can_be_asked_for_is_explained():
    assert tuple(DEFINITIONS) == get_args(Definition)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_class_only_predicted_counts_as_the_definition_says(definition):
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    predicted = np.array([[0, 2, 1, 2]], np.uint8)
    ours = metrics(class_totals(confusion(truth, predicted, 4)), definition)
    ious = [50, 100] if definition == "detectron2" else [50, 100, 0]
    assert ours.miou == pytest.approx(sum(ious) / len(ious))
    assert np.isnan(ours.iou[3])
    assert ours.macc == pytest.approx(75)


def test_a_pixel_predicted_as_no_class_is_wrong_and_nobodys_false_positive():
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    predicted = np.array([[0, 255, 1, 1]], np.uint8)
    ours = metrics(class_totals(confusion(truth, predicted, 2)), "mmseg")
    assert ours.iou.tolist() == [50, 100]
    assert ours.aacc == 75


def test_precision_is_the_share_of_a_prediction_that_is_right():
    truth, predicted = np.array([[0, 0, 1, 255]], np.uint8), np.array([[0, 1, 1, 0]], np.uint8)
    totals = class_totals(confusion(truth, predicted, 3))
    precision, dice = precision_and_dice(totals, "mmseg")
    assert precision[:2].tolist() == [100, 50]
    assert dice[:2] == pytest.approx([200 / 3, 200 / 3])
    assert np.isnan([precision[2], dice[2]]).all()
    only_predicted = class_totals(confusion(truth, np.where(predicted == 1, 2, predicted), 3))
    assert [np.isnan(precision_and_dice(only_predicted, name)[1][2]) for name in ("mmseg", "detectron2")] == [0, 1]


def test_nothing_labelled_gives_nan_and_no_warning(recwarn):
    nothing = metrics(class_totals(np.zeros((3, 4), np.int64)), "mmseg")
    assert all(math.isnan(value) for value in (nothing.miou, nothing.aacc, nothing.macc, nothing.fwiou))
    assert not recwarn.list


@pytest.mark.parametrize("value", [3, 4, 254])
def test_a_value_beyond_the_classes_is_never_counted(value):
    good = np.zeros((2, 2), np.uint8)
    bad = np.array([[0, value], [0, 0]], np.uint8)
    for truth, predicted in ((bad, good), (good, bad)):
        with pytest.raises(ValueError, match=str(value)):
            confusion(truth, predicted, 3)


def test_one_pixel_in_ten_thousand_million_is_seen():
    counts = np.array([[10**10, 1, 0], [0, 1, 0]], np.int64)
    assert metrics(class_totals(counts), "mmseg").iou.tolist() == [100 * 10**10 / (10**10 + 1), 50]


maps = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from([0, 1, 2, 255])
)


@given(maps, st.randoms(use_true_random=False))
def test_counts_sum_to_the_labelled_pixels_and_splitting_images_changes_nothing(truth, random):
    predicted = np.array([[random.choice([0, 1, 2]) for _ in row] for row in truth], np.uint8)
    whole = confusion(truth, predicted, 3)
    assert whole.sum() == (truth != 255).sum()
    cut = random.randrange(truth.shape[0] + 1)
    parts = confusion(truth[:cut], predicted[:cut], 3) + confusion(truth[cut:], predicted[cut:], 3)
    np.testing.assert_array_equal(whole, parts)


@given(maps)
def test_a_perfect_prediction_scores_100(truth):
    ours = metrics(class_totals(confusion(truth, truth, 3)), "mmseg")
    assert set(ours.iou[~np.isnan(ours.iou)].tolist()) <= {100}
