"""Calibration error and risk-coverage against their definitions, on random maps and on those of the bundled models."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import semask_cli
from semask_cli.datasets import classes, folder_dataset, read_labels
from semask_cli.errors import UsageError
from semask_cli.evaluation.calibration import BINS, EDGES, calibration, confidence_counts, packed, unpacked
from semask_cli.inference.config import Keep
from toy_street import TEST_SEEDS, write_folders


def expected_calibration_error(right, confidence):
    """Guo et al. 2017, equation 5, pixel by pixel."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    return 100 * sum(gaps)


def area_under_risk_coverage(right, confidence):
    """Geifman and El-Yaniv 2017: the mean over coverages of the risk of the most confident pixels.

    Of pixels that are equally confident any may come first: each is wrong in the share of all of them.
    """
    _, group = np.unique(-confidence, return_inverse=True)
    wrong = np.bincount(group, weights=~right) / np.bincount(group)
    return 100 * np.mean(np.cumsum(wrong[np.sort(group)]) / np.arange(1, len(group) + 1))


def maps(seed, size=(120, 160), count=4):
    """Labels, predictions and confidences of an overconfident model, with ignored pixels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, count, size).astype(np.uint8)
    confidence = rng.beta(6, 1, size).astype(np.float32)
    predicted = np.where(rng.random(size) < confidence**2, labels, (labels + 1) % count).astype(np.uint8)
    labels[:5] = 255
    return labels, predicted, confidence


def measured(*images, count=4):
    names = tuple(map(str, range(count)))
    return calibration([confidence_counts(*image) for image in images], names, "softmax")


def test_the_figures_are_those_of_their_definitions():
    images = [maps(seed) for seed in range(3)]
    ours = measured(*images)
    counted = [labels != 255 for labels, _, _ in images]
    right = np.concatenate([(i[0] == i[1])[c] for i, c in zip(images, counted, strict=True)])
    confidence = np.concatenate([i[2][c] for i, c in zip(images, counted, strict=True)]).astype(float)
    predicted = np.concatenate([i[1][c] for i, c in zip(images, counted, strict=True)])
    assert ours.ece == pytest.approx(expected_calibration_error(right, confidence), abs=1e-3)
    assert ours.aurc == pytest.approx(area_under_risk_coverage(right, confidence), rel=0.02)
    for index, figures in enumerate(ours.classes):
        of_class = predicted == index
        assert figures.ece == pytest.approx(expected_calibration_error(right[of_class], confidence[of_class]), abs=1e-3)
        assert figures.aurc == pytest.approx(area_under_risk_coverage(right[of_class], confidence[of_class]), rel=0.02)
    last = ours.risk_coverage[-1]
    assert (last.coverage, last.risk) == (100, pytest.approx(100 * (1 - right.mean())))
    assert sum(row.share for row in ours.reliability) == pytest.approx(100)


@given(st.integers(0, 10**6))
def test_pixels_of_one_confidence_count_in_every_order_alike(seed):
    """With confidences that lie in bins of their own the area is the exact one, but for steps of a pixel."""
    rng = np.random.default_rng(seed)
    confidence = rng.choice([0.3, 0.97], (1, 4000)).astype(np.float32)
    labels = np.zeros((1, 4000), np.uint8)
    predicted = (rng.random((1, 4000)) > confidence).astype(np.uint8)
    ours = measured((labels, predicted, confidence), count=2).aurc
    assert ours == pytest.approx(area_under_risk_coverage((predicted == 0)[0], confidence[0]), abs=0.1)


def test_a_model_that_says_how_often_it_is_right_has_no_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, (500, 800)).astype(np.float32)
    predicted = (rng.random(confidence.shape) > confidence).astype(np.uint8)
    ours = measured((np.zeros_like(predicted), predicted, confidence), count=2)
    assert ours.ece < 0.3
    sure = measured((np.zeros_like(predicted), np.zeros_like(predicted), np.full_like(confidence, 1.7)), count=2)
    assert (sure.ece, sure.aurc) == (0, 0)  # above 1 counts as 1
    assert (sure.classes[1].ece, sure.classes[1].aurc) == (None, None)


def test_images_add_up_in_any_order_and_a_record_does_not_grow_with_the_image():
    images = [maps(seed) for seed in range(4)]
    assert measured(*images) == measured(*images[::-1])
    large = maps(9, size=(1000, 1500))
    assert len(confidence_counts(*large)) <= 4 * (len(EDGES) + 1)


@given(st.integers(0, 10**6))
def test_rows_come_back_from_their_text_and_damaged_ones_do_not(seed):
    rows = confidence_counts(*maps(seed, size=(9, 12)))
    text = packed(rows)
    np.testing.assert_array_equal(unpacked(text, 4), rows)
    with pytest.raises(ValueError, match="impossible counts"):
        unpacked(text, 2)  # there are four classes
    for damaged in (text[:-8], "!" + text[1:], packed(rows[:, ::-1]), packed(-rows), packed(rows.repeat(400, 0))):
        with pytest.raises(ValueError, match=r".+"):
            unpacked(damaged, 4)


def test_bundled_models_are_calibrated_and_their_scores_named(tmp_path, semask):
    write_folders(tmp_path / "scenes", TEST_SEEDS[:2])
    dataset = folder_dataset(tmp_path / "scenes/images", tmp_path / "scenes/labels", classes("cityscapes"))
    for name, score in (("toy-street-fpn", "softmax"), ("toy-street-m2f", "sum over queries")):
        segmenter = semask_cli.load(name, device="cpu")
        evaluation = semask_cli.evaluate(dataset, segmenter, calibration=True, journal=tmp_path / name)
        figures = evaluation.calibration
        assert figures.score.startswith(score)
        right, confidence = [], []
        for sample in dataset.samples:
            found = segmenter.predict(sample.image, keep=Keep(confidence=True))
            labels = read_labels(sample.label, dataset.encoding)
            right.append((found.labels == labels)[labels != 255])
            confidence.append(np.minimum(found.confidence, 1)[labels != 255].astype(float))
        right, confidence = np.concatenate(right), np.concatenate(confidence)
        assert figures.ece == pytest.approx(expected_calibration_error(right, confidence), abs=1e-3)
        assert figures.aurc == pytest.approx(area_under_risk_coverage(right, confidence), rel=0.02)
        assert 0 < figures.aurc < 100 - evaluation.aacc
    options = ("--images", tmp_path / "scenes/images", "--labels", tmp_path / "scenes/labels", "-d", "cityscapes")
    printed = semask(
        "eval", "-m", "toy-street-fpn", *options, "--device", "cpu", "--calibration", "--limit", 1, "--json"
    )
    assert json.loads(printed.stdout)["settings"]["calibration"].startswith("softmax")


def test_masks_have_no_scores(planted):
    root, masks = planted("ade20k", "annotations", 2)
    with pytest.raises(UsageError, match="masks have no scores"):
        semask_cli.evaluate("ade20k", masks, root=root, calibration=True)
