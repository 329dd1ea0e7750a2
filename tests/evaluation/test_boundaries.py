"""Boundary IoU against the published program, and objects by size against a plain count."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from semask_cli.evaluation.boundaries import (
    boundaries,
    boundary,
    boundary_counts,
    boundary_distance,
    object_counts,
    recall_by_size,
)
from tests.support.filled import labels as filled
from toy_street import TEST_SEEDS, render

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics" / "boundary_iou.json"


def eroded(mask, distance):
    """The boundary of a mask (H, W) as the paper has it: what repeated erosion by 3 x 3 takes away."""
    padded = np.pad(mask.astype(np.uint8), 1)
    inner = ndimage.binary_erosion(padded, np.ones((3, 3)), iterations=distance)[1:-1, 1:-1]
    return mask & ~inner


def by_erosion(truth, predicted, classes):
    """Boundary IoU of each class, mask by mask."""
    distance = boundary_distance(*truth.shape)
    counted = truth != 255
    seen = np.where(counted, predicted, 255)
    ious = []
    for index in range(classes):
        first, second = (eroded(each == index, distance) for each in (truth, seen))
        union = (first | second).sum()
        ious.append(100 * (first & second).sum() / union if union else None)
    return ious


def scores(truth, predicted, classes):
    return boundaries([boundary_counts(truth, predicted)], classes, "mmseg")


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (61, 47), (200, 300)])
def test_boundary_iou_is_that_of_erosion_on_random_masks(size):
    for seed in range(4):
        truth = filled(*size, 5, seed=seed)
        predicted = np.where(np.random.default_rng(seed).random(size) < 0.05, 4 - truth % 5, truth).astype(np.uint8)
        predicted[predicted > 4] = 0
        assert list(scores(truth, predicted, 5).iou) == pytest.approx(by_erosion(truth, predicted, 5))


def test_boundary_iou_is_that_of_erosion_on_rendered_streets():
    truth = render(TEST_SEEDS[3]).labels
    predicted = np.roll(truth, 3, axis=1)
    ours = scores(truth, predicted, 19)
    expected = by_erosion(truth, predicted, 19)
    assert list(ours.iou) == pytest.approx(expected)
    assert ours.miou == pytest.approx(np.mean([iou for iou in expected if iou is not None]))
    assert ours.miou < 90


@pytest.mark.parametrize("case", json.loads(GOLDEN.read_text())["cases"], ids=lambda case: case["name"])
def test_boundaries_are_those_of_the_authors_code(case):
    """Pixels of the boundary of each class, as mask_to_boundary of the published program counts them."""
    labels = filled(case["height"], case["width"], case["classes"], seed=case["seed"], ignore=None)
    labels = labels.repeat(case["enlarged"], 0).repeat(case["enlarged"], 1)
    edge = boundary(labels, boundary_distance(*labels.shape))
    assert np.bincount(labels[edge], minlength=case["classes"]).tolist() == case["pixels"]


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.integers(0, 1000))
def test_a_boundary_is_where_another_class_is_near(height, width, distance, seed):
    labels = np.random.default_rng(seed).integers(0, 3, (height, width)).repeat(2, 0).repeat(2, 1).astype(np.uint8)
    found = boundary(labels, distance)
    for index in range(3):
        np.testing.assert_array_equal(found & (labels == index), eroded(labels == index, distance))


def test_equal_maps_score_100_and_no_prediction_within_what_is_not_labelled_makes_an_edge():
    truth = filled(60, 80, 4, seed=1)
    predicted = truth.copy()
    predicted[truth == 255] = 2
    assert {iou for iou in scores(truth, predicted, 4).iou if iou is not None} == {100}


def test_objects_are_found_by_half_of_their_pixels_and_sorted_by_size():
    truth = np.full((200, 400), 255, np.uint8)
    truth[:10, :10] = truth[20:30, :10] = 0  # two small ones, 100 pixels each
    truth[100:140, :40] = 0  # 1,600: medium
    truth[:100, 100:200] = 1  # 10,000: large
    predicted = truth.copy()
    predicted[:5, :10] = 1  # half of the first: not more than half
    predicted[:49, 100:200] = 0
    small, medium, large = recall_by_size([object_counts(truth, predicted)])
    assert (small.objects, small.found, small.pixels_right) == (2, 50, 75)
    assert (medium.objects, medium.found, medium.pixels_right) == (1, 100, 100)
    assert (large.objects, large.found, large.pixels_right) == (1, 100, 51)
    touching = np.array([[0, 255], [255, 0]], np.uint8)
    assert recall_by_size([object_counts(touching, touching)])[0].objects == 1


def test_the_command_measures_them_when_it_is_asked_to(semask, planted):
    root, masks = planted("cityscapes", "labelTrainIds", 4)
    command = ("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--json")
    plain, asked = (json.loads(semask(*command, *more).stdout) for more in ((), ("--boundaries",)))
    assert (plain["boundaries"], plain["objects"]) == (None, None)
    assert 0 < asked["boundaries"]["miou"] < 100
    assert len(asked["boundaries"]["iou"]) == 19
    assert [row["size"] for row in asked["objects"]] == ["small", "medium", "large"]
    assert asked["objects"][0]["objects"] > 0
    assert plain["miou"] == asked["miou"]
    printed = semask(*command[:-1], "--boundaries").stdout.splitlines()
    [line] = [line for line in printed if line.startswith("Boundary IoU")]
    sizes = [row for row in asked["objects"] if row["objects"]]
    assert all(f"{row['size']} {row['found']:.2f} % of {row['objects']}" in line for row in sizes)
    assert line.count("% of") == len(sizes) < 3
