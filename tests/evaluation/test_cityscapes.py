"""Our Cityscapes scores against the benchmark's own program, on a generated folder."""

import math

import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import classes, find_dataset, read_labels, read_values
from semask_cli.evaluation.cityscapes import cityscapes_scores, instances
from semask_cli.evaluation.metrics import class_totals, confusion, metrics
from tests.support import miniature

CLASSES = classes("cityscapes")
LABEL_IDS = CLASSES.encodings["labelIds"]


def folder(tmp_path, *, classes_labelled=19, classes_predicted=19):
    """A Cityscapes folder and, beside it, predictions as labelIds PNGs: [(image, prediction file)]."""
    root = tmp_path / "cityscapes"
    truth = miniature.write(root, "cityscapes", "labelIds", count=5)
    dataset = find_dataset("cityscapes", root=root)
    pairs = []
    for seed, sample in enumerate(dataset.samples):
        labels = truth[sample.id]
        labels[(labels >= classes_labelled) & (labels != 255)] = 0
        miniature.save(sample.label, miniature.encode(labels, LABEL_IDS))
        miniature.save(sample.instances, miniature.instances(labels, seed))
        predicted = miniature.prediction(labels, classes_predicted, seed)
        miniature.save(tmp_path / "pred" / f"{sample.name}.png", miniature.encode(predicted, LABEL_IDS))
        pairs.append((sample, tmp_path / "pred" / f"{sample.name}.png"))
    return pairs


@pytest.mark.parametrize(("labelled", "predicted"), [(19, 19), (14, 19), (19, 12), (11, 11)])
def test_every_score_equals_the_benchmarks(tmp_path, official, labelled, predicted):
    pairs = folder(tmp_path, classes_labelled=labelled, classes_predicted=predicted)
    theirs = official([(file, sample.label) for sample, file in pairs])
    counts, found = np.zeros((19, 20), np.int64), []
    for sample, file in pairs:
        prediction = read_labels(file, LABEL_IDS)
        counts += confusion(read_labels(sample.label, LABEL_IDS), prediction, 19)
        found += instances(read_values(sample.instances), prediction, CLASSES)
    scores = cityscapes_scores(counts, found, CLASSES)
    ours = metrics(class_totals(counts), "cityscapes")
    names = CLASSES.classes

    assert_equal(dict(zip(names, ours.iou, strict=True)), theirs["classScores"])
    assert_equal(scores.category_iou, theirs["categoryScores"])
    if found:
        assert_equal(scores.iiou, theirs["classInstScores"])
        assert_equal(scores.category_iiou, theirs["categoryInstScores"])
    else:
        assert not scores.iiou
    assert ours.miou / 100 == pytest.approx(theirs["averageScoreClasses"], abs=1e-12)


def assert_equal(ours, theirs):
    """Ours in percent, theirs in fractions of one; what we leave out they give as nan."""
    for name, value in theirs.items():
        mine = ours.get(name, math.nan) / 100
        assert mine == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_instances_need_no_order_to_give_the_same_score(tmp_path):
    sample, file = folder(tmp_path)[0]
    prediction = read_labels(file, LABEL_IDS)
    counts = confusion(read_labels(sample.label, LABEL_IDS), prediction, 19)
    found = instances(read_values(sample.instances), prediction, CLASSES)
    assert len(found) > 3
    assert cityscapes_scores(counts, found, CLASSES) == cityscapes_scores(counts, found[::-1], CLASSES)
    assert np.asarray(Image.open(sample.instances)).max() > 24000
