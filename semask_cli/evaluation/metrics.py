"""From pixel counts to figures: accuracy and intersection over union, in the published definitions.

One int64 confusion matrix, summed over all images at the size of their label files, serves every definition: mmseg's
(mmsegmentation 0.x, Apache-2.0; the Semantic-FPN rows), detectron2's (SemSegEvaluator, Apache-2.0; the mask rows on
ADE20K) and Cityscapes' own (cityscapesScripts' pixel-level evaluation; the Cityscapes mask row). They differ in classes
that are predicted but absent from the labels. In all of them a class absent from both is left out, and pixels whose
label is ignored count nowhere. On the full validation sets every class occurs, and the definitions agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import IGNORE

DEFINITIONS: dict[str, str] = {
    "mmseg": "mmseg's definition: a class that is predicted but not labelled counts as 0.",
    "detectron2": "detectron2's definition since July 2022: a class that is not labelled is left out.",
    "cityscapes": "Cityscapes' definition: a class that is predicted but not labelled counts as 0.",
}
"""The definitions of mIoU, each with a sentence about it."""

Counts = NDArray[np.int64]
"""Pixels by label (row) and prediction (column): (K, K + 1) int64. The last column: pixels predicted as no class."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassTotals:
    """Pixels of each class: correct (`right`), `labelled`, and `predicted` where the label is not ignored.

    Each is (..., K), int64 or integer-valued float64; leading axes are images, or sums over them.
    """

    right: NDArray[Any]
    labelled: NDArray[Any]
    predicted: NDArray[Any]

    def stacked(self) -> NDArray[Any]:
        """All three in one array (..., 3 K)."""
        return np.concatenate([self.right, self.labelled, self.predicted], axis=-1)

    @classmethod
    def unstacked(cls, stack: NDArray[Any]) -> ClassTotals:
        """The reverse of `stacked`."""
        right, labelled, predicted = np.split(stack, 3, axis=-1)
        return cls(right=right, labelled=labelled, predicted=predicted)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metrics:
    """Figures in percent; nan for 0 / 0.

    `iou` and `acc` (recall) are (..., K) float64, nan for classes that a definition leaves out of the mean. `miou` and
    `macc` (...) are their means, `aacc` the percentage of labelled pixels predicted correctly, `fwiou` the IoU weighted
    by label pixels. For one confusion matrix they are scalars.
    """

    aacc: NDArray[np.float64]
    miou: NDArray[np.float64]
    macc: NDArray[np.float64]
    fwiou: NDArray[np.float64]
    iou: NDArray[np.float64]
    acc: NDArray[np.float64]


def confusion(labels: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> Counts:
    """The confusion matrix of one image; `labels` and `predicted` (H, W) uint8 are class indices or IGNORE.

    Raises:
        ValueError: the shapes differ, or a value is neither a class nor IGNORE.
    """
    if labels.shape != predicted.shape:
        raise ValueError(f"labels are {labels.shape}, predictions {predicted.shape}")
    for values in (labels, predicted):
        if ((values >= classes) & (values != IGNORE)).any():
            raise ValueError(f"values up to {values[values != IGNORE].max()} with {classes} classes")
    counted = labels != IGNORE
    columns = np.minimum(predicted[counted], classes, dtype=np.int64)
    entries = np.multiply(labels[counted], classes + 1, dtype=np.int64) + columns
    return np.bincount(entries, minlength=classes * (classes + 1)).reshape(classes, classes + 1).astype(np.int64)


def class_totals(counts: Counts) -> ClassTotals:
    """The totals of a confusion matrix, which all figures are computed from."""
    return ClassTotals(right=np.diagonal(counts), labelled=counts.sum(axis=1), predicted=counts[:, :-1].sum(axis=0))


def metrics(totals: ClassTotals, definition: str) -> Metrics:
    """The figures for `totals`, in one of DEFINITIONS."""
    right, labelled = totals.right, totals.labelled
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = 100 * right / (labelled + totals.predicted - right)
        acc = 100 * right / labelled
        fwiou = np.nansum(iou * labelled, axis=-1) / labelled.sum(axis=-1)
        aacc = 100 * right.sum(axis=-1) / labelled.sum(axis=-1)
    if definition == "detectron2":
        iou[labelled == 0] = np.nan
    return Metrics(aacc=aacc, miou=mean(iou), macc=mean(acc), fwiou=fwiou, iou=iou, acc=acc)


def precision_and_dice(totals: ClassTotals, definition: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and Dice (F1) of each class (..., K) in percent, nan where IoU is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = 100 * totals.right / totals.predicted
        dice = 200 * totals.right / (totals.labelled + totals.predicted)
    if definition == "detectron2":
        precision[totals.labelled == 0] = dice[totals.labelled == 0] = np.nan
    return precision, dice


def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the last axis, ignoring nan; nan if all values are."""
    valid = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return values.sum(axis=-1, where=valid) / valid.sum(axis=-1)
