"""Boundary IoU, and the recall of objects by size.

Boundary IoU (Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021, arXiv
2103.16562) is computed for each class: the IoU of the pixels within `distance` of the edge of the class's region, in
the label and in the prediction. As in the authors' code, the distance is 2 % of the image's diagonal, is the larger of
rows and columns, and the image border is an edge. Unlabelled pixels are a separate region in both, so that predictions
within them make no edges.

An object is a connected region (8-connectivity) of a class in the label. It is found if more than half of its pixels
are predicted correctly. Sizes are COCO's: small below 32 x 32 pixels, medium below 96 x 96, and large.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import IGNORE
from semask_cli.evaluation.metrics import ClassTotals, metrics

DILATION_RATIO = 0.02
"""Width of the boundary as a fraction of the image's diagonal."""

SIZES = {"small": 32**2, "medium": 96**2, "large": 2**40}
"""The upper limit of each object size, in pixels."""

Labels = NDArray[np.uint8]
Rows = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundaries:
    """Boundary IoU in percent: its mean over the classes, in the evaluation's definition, and that of each class."""

    miou: float | None
    iou: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRecall:
    """The number of `objects` of a size, and the percentages of objects found and of pixels predicted correctly."""

    size: str
    objects: int
    found: float | None
    pixels_right: float | None


def boundary_counts(labels: Labels, predicted: Labels) -> Rows:
    """(class, pixels in both boundaries, in the label's, in the prediction's) for each class with a boundary.

    `labels` and `predicted` are (H, W) uint8 class indices or IGNORE.
    """
    distance = boundary_distance(*labels.shape)
    counted = labels != IGNORE
    seen = np.where(counted, predicted, IGNORE)
    edges = [np.logical_and(boundary(each, distance), counted) for each in (labels, seen)]
    both = np.logical_and(edges[0], edges[1]) & (labels == seen)
    counts = np.stack(
        [np.bincount(values, minlength=IGNORE + 1) for values in (labels[both], labels[edges[0]], seen[edges[1]])]
    )
    return tuple((int(index), *counts[:, index].tolist()) for index in np.flatnonzero(counts.sum(axis=0)[:IGNORE]))


def boundary_distance(height: int, width: int) -> int:
    """The width of the boundary in an image of this size, in pixels."""
    return max(1, round(DILATION_RATIO * float(np.hypot(height, width))))


def boundary(labels: Labels, distance: int) -> NDArray[np.bool_]:
    """Bool (H, W): whether another class, or the image border, is within `distance` rows and columns.

    The minimum and maximum index around a pixel are equal if there is no other class: two passes serve all classes.
    """
    window = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    lowest, highest = (operation(labels, window) for operation in (cv2.erode, cv2.dilate))
    inner = np.zeros(labels.shape, bool)
    inside = (slice(distance, -distance), slice(distance, -distance))
    inner[inside] = np.equal(lowest, highest)[inside]
    return ~inner


def object_counts(labels: Labels, predicted: Labels) -> Rows:
    """(class, index of the size, objects, objects found, pixels, pixels correct) for the classes in `labels`."""
    bounds = np.array([*SIZES.values()])
    rows: list[tuple[int, ...]] = []
    for index in np.flatnonzero(np.bincount(labels.ravel(), minlength=IGNORE + 1)[:IGNORE]).tolist():
        mask = (labels == index).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        box = (slice(top, top + height), slice(left, left + width))
        count, regions = cv2.connectedComponents(mask[box], connectivity=8, ltype=cv2.CV_32S)
        pixels = np.bincount(regions.ravel(), minlength=count)[1:]
        right = np.bincount(regions[predicted[box] == index], minlength=count)[1:]
        size = np.searchsorted(bounds, pixels, "right")
        for stratum in np.unique(size).tolist():
            chosen = size == stratum
            sums = (chosen.sum(), (2 * right > pixels)[chosen].sum(), pixels[chosen].sum(), right[chosen].sum())
            rows.append((index, stratum, *map(int, sums)))
    return tuple(rows)


def boundaries(rows: Iterable[Rows], classes: int, definition: str) -> Boundaries:
    """Boundary IoU from all images' `boundary_counts`, in one of metrics.DEFINITIONS."""
    total = np.zeros((3, classes), np.int64)
    for image in rows:
        for index, *counts in image:
            total[:, index] += counts
    figures = metrics(ClassTotals(right=total[0], labelled=total[1], predicted=total[2]), definition)
    values = [None if np.isnan(value) else float(value) for value in (figures.miou, *figures.iou)]
    return Boundaries(miou=values[0], iou=tuple(values[1:]))


def recall_by_size(rows: Iterable[Rows]) -> tuple[SizeRecall, ...]:
    """The recall for each of SIZES, from all images' `object_counts`."""
    total = np.zeros((len(SIZES), 4), np.int64)
    for image in rows:
        for _, size, *counts in image:
            total[size] += counts
    return tuple(
        SizeRecall(
            size=name,
            objects=objects,
            found=100 * found / objects if objects else None,
            pixels_right=100 * right / pixels if pixels else None,
        )
        for name, (objects, found, pixels, right) in zip(SIZES, total.tolist(), strict=True)
    )
