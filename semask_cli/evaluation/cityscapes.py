"""Cityscapes' scores beyond class IoU: categories, and instance-weighted IoU (iIoU).

Follows the pixel-level evaluation of cityscapesScripts (https://github.com/mcordts/cityscapesScripts) and its paper
(arXiv 1604.01685, section 4.1). iIoU weighs each true positive and false negative by the class's mean instance size
over the size of its instance, so that a small car counts as much as a large one; false positives are not weighted.
Applies to any dataset whose spec has `categories`; iIoU also needs `instances`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import IGNORE, ClassSet
from semask_cli.evaluation.metrics import Counts
from semask_cli.evaluation.records import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class CityscapesScores:
    """In percent, nan for 0 / 0. iIoU is of classes and categories with instances, and empty without instance files."""

    category_iou: dict[str, float]
    iiou: dict[str, float]
    category_iiou: dict[str, float]


def instances(ids: NDArray[np.integer], predicted: NDArray[np.uint8], classes: ClassSet) -> tuple[Instance, ...]:
    """The objects in a map of instance ids (H, W), in the order of their ids, with the correct pixels of `predicted`.

    An id is label id x 1000 + number; values below 1000 are regions without instances, and groups of objects.
    """
    table = classes.instance_encoding.table
    labels_of_category = _labels_of_category(classes)
    is_object = ids >= 1000
    object_ids, inverse = np.unique(ids[is_object], return_inverse=True)
    hits = np.bincount(inverse * 256 + predicted[is_object], minlength=256 * len(object_ids)).reshape(-1, 256)
    objects = []
    for object_id, row in zip(object_ids, hits, strict=True):
        label = int(table[object_id // 1000])
        if label == IGNORE:
            continue
        category = next((labels for labels in labels_of_category.values() if label in labels), [label])
        objects.append(
            Instance(label=label, pixels=int(row.sum()), right=int(row[label]), right_category=int(row[category].sum()))
        )
    return tuple(objects)


def cityscapes_scores(counts: Counts, instances: Iterable[Instance], classes: ClassSet) -> CityscapesScores:
    """The scores from the summed `counts` (K, K + 1) and all instances, independent of the order of these."""
    assert classes.spec is not None
    sizes = classes.spec.instances.mean_pixels if classes.spec.instances else {}
    mean_pixels = {classes.classes.index(name): pixels for name, pixels in sizes.items()}
    labels_of_category = _labels_of_category(classes)
    ordered = sorted(instances, key=lambda i: (i.label, i.pixels, i.right, i.right_category))

    def iiou(labels: Sequence[int], right: Callable[[Instance], int]) -> float:
        return _iiou([i for i in ordered if i.label in labels], right, mean_pixels, _wrong_as(counts, labels))

    with_instances = [category for category, labels in labels_of_category.items() if mean_pixels.keys() >= set(labels)]
    return CityscapesScores(
        category_iou={category: _iou(counts, labels) for category, labels in labels_of_category.items()},
        iiou={classes.classes[label]: iiou([label], lambda i: i.right) for label in mean_pixels if ordered},
        category_iiou={
            category: iiou(labels_of_category[category], lambda i: i.right_category)
            for category in with_instances
            if ordered
        },
    )


def _labels_of_category(classes: ClassSet) -> dict[str, list[int]]:
    """The class indices in each category."""
    assert classes.spec is not None
    return {
        category: [classes.classes.index(name) for name in names] for category, names in classes.spec.categories.items()
    }


def _iou(counts: Counts, labels: Sequence[int]) -> float:
    right = int(counts[np.ix_(labels, labels)].sum())
    return _percent(right, int(counts[labels].sum()) + _wrong_as(counts, labels))


def _wrong_as(counts: Counts, labels: Sequence[int]) -> int:
    """False positives: pixels predicted as one of `labels`, with another label."""
    others = [label for label in range(len(counts)) if label not in labels]
    return int(counts[np.ix_(others, labels)].sum())


def _iiou(
    instances: Sequence[Instance], right: Callable[[Instance], int], mean_pixels: dict[int, float], wrong: int
) -> float:
    weights = [mean_pixels[i.label] / i.pixels for i in instances]
    hit = math.fsum(right(i) * weight for i, weight in zip(instances, weights, strict=True))
    missed = math.fsum((i.pixels - right(i)) * weight for i, weight in zip(instances, weights, strict=True))
    return _percent(hit, hit + missed + wrong)


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else math.nan
