"""Cityscapes' own scores beside the class IoU: categories, and IoU weighted by instance (iIoU).

After the pixel-level evaluation of cityscapesScripts (https://github.com/mcordts/cityscapesScripts) and its paper
(arXiv 1604.01685, section 4.1). iIoU weighs each true positive and false negative by the class's mean instance size
over the size of its instance, so that a small car counts as much as a large one; false positives are not weighted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import IGNORE, classes
from semask_cli.evaluation.metrics import Counts, label_pixels, predicted_pixels

CATEGORIES = {
    "flat": ("road", "sidewalk"),
    "construction": ("building", "wall", "fence"),
    "object": ("pole", "traffic light", "traffic sign"),
    "nature": ("vegetation", "terrain"),
    "sky": ("sky",),
    "human": ("person", "rider"),
    "vehicle": ("car", "truck", "bus", "train", "motorcycle", "bicycle"),
}

MEAN_INSTANCE_PIXELS = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
"""Mean size of an instance in the training set, as published with the evaluation."""

_CLASSES = classes("cityscapes").classes
_MEMBERS = {category: [_CLASSES.index(name) for name in names] for category, names in CATEGORIES.items()}
_CATEGORY_OF = {name: category for category, names in CATEGORIES.items() for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One labelled object: its class index and `pixels`, those predicted as its class, and as any of its category."""

    label: int
    pixels: int
    right: int
    right_category: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CityscapesScores:
    """In percent, nan where there is nothing to divide by; iIoU of classes and categories that have instances.

    `iiou` and `category_iiou` are empty where no instance file was found.
    """

    category_iou: dict[str, float]
    iiou: dict[str, float]
    category_iiou: dict[str, float]


def instances(ids: NDArray[np.integer], predicted: NDArray[np.uint8]) -> tuple[Instance, ...]:
    """The objects in an instanceIds map (H, W), in the order of their ids, and how `predicted` (H, W) meets them.

    An id is label id x 1000 + number; smaller values are regions without instances, and groups of objects.
    """
    table = classes("cityscapes").codings["labelIds"].table
    inside = ids >= 1000
    objects, which = np.unique(ids[inside], return_inverse=True)
    hits = np.bincount(which * 256 + predicted[inside], minlength=256 * len(objects)).reshape(-1, 256)
    found = []
    for value, row in zip(objects, hits, strict=True):
        label = int(table[value // 1000])
        if label == IGNORE:
            continue
        alike = _MEMBERS[_CATEGORY_OF[_CLASSES[label]]]
        found.append(
            Instance(label=label, pixels=int(row.sum()), right=int(row[label]), right_category=int(row[alike].sum()))
        )
    return tuple(found)


def cityscapes_scores(counts: Counts, found: Iterable[Instance]) -> CityscapesScores:
    """The scores of all images' `counts` (19, 20) and instances; equal for every order of the instances."""
    wrong = predicted_pixels(counts) - np.diagonal(counts)
    instances = sorted(found, key=lambda each: (each.label, each.pixels, each.right, each.right_category))
    by_class, by_category = {}, {}
    for name in MEAN_INSTANCE_PIXELS if instances else ():
        index = _CLASSES.index(name)
        own = [each for each in instances if each.label == index]
        by_class[name] = _iiou([(each, each.right) for each in own], int(wrong[index]))
    for category, labels in _MEMBERS.items():
        if instances and all(_CLASSES[label] in MEAN_INSTANCE_PIXELS for label in labels):
            own = [each for each in instances if each.label in labels]
            by_category[category] = _iiou([(each, each.right_category) for each in own], _wrong_as(counts, labels))
    return CityscapesScores(
        category_iou={category: _category_iou(counts, labels) for category, labels in _MEMBERS.items()},
        iiou=by_class,
        category_iiou=by_category,
    )


def _category_iou(counts: Counts, labels: list[int]) -> float:
    right = int(counts[np.ix_(labels, labels)].sum())
    return _percent(right, int(label_pixels(counts)[labels].sum()) + _wrong_as(counts, labels))


def _wrong_as(counts: Counts, labels: list[int]) -> int:
    """Pixels predicted as one of `labels` whose label is none of them."""
    others = [label for label in range(len(counts)) if label not in labels]
    return int(counts[np.ix_(others, labels)].sum())


def _iiou(found: list[tuple[Instance, int]], wrong: int) -> float:
    weights = [MEAN_INSTANCE_PIXELS[_CLASSES[each.label]] / each.pixels for each, _ in found]
    right = math.fsum(right * weight for (_, right), weight in zip(found, weights, strict=True))
    missed = math.fsum((each.pixels - right) * weight for (each, right), weight in zip(found, weights, strict=True))
    return _percent(right, right + missed + wrong)


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else math.nan
