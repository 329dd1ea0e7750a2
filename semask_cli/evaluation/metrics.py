"""From pixel counts to figures: accuracy and intersection over union, in the definitions that were published.

One int64 confusion matrix, summed over all images at the size of their label files, serves every definition: mmseg's
(mmsegmentation 0.x, Apache-2.0; the Semantic-FPN rows), detectron2's (SemSegEvaluator, Apache-2.0; the mask rows on
ADE20K) and Cityscapes' own (cityscapesScripts' pixel-level evaluation; the Cityscapes mask row). They differ in classes
that are predicted but absent from the labels. In all of them a class absent from both is left out, and pixels whose
label is ignored count nowhere. On the full validation sets every class occurs, and the definitions agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import IGNORE

DEFINITIONS: dict[str, str] = {
    "mmseg": "mmseg's definition: a class that is predicted but not labelled counts 0.",
    "detectron2": "detectron2's definition since July 2022: a class that is not labelled is left out.",
    "cityscapes": "Cityscapes' own definition: a class that is predicted but not labelled counts 0.",
}
"""Every definition of mIoU, in a sentence."""

Counts = NDArray[np.int64]
"""Pixels by label (row) and prediction (column): (K, K + 1) int64. The last column: pixels predicted as no class."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metrics:
    """The figures of a confusion matrix, in percent; nan where there is nothing to divide by.

    `iou` and `acc` are (K,) float64, nan for the classes that `definition` leaves out of the mean. `miou` and `macc`
    are their means; `aacc` is the share of labelled pixels predicted right, `fwiou` the IoU weighted by label pixels.
    """

    definition: str
    aacc: float
    miou: float
    macc: float
    fwiou: float
    iou: NDArray[np.float64]
    acc: NDArray[np.float64]


def confusion(labels: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> Counts:
    """The counts of one image: `labels` and `predicted` are (H, W) uint8 class indices, or IGNORE for no class.

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


def metrics(counts: Counts, definition: str) -> Metrics:
    """The figures of `counts`, summed over all images, in one of DEFINITIONS."""
    right = np.diagonal(counts)
    labelled = label_pixels(counts)
    union = labelled + predicted_pixels(counts) - right
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = 100 * right / union
        acc = 100 * right / labelled
        fwiou = np.nansum(iou * labelled) / labelled.sum()
        aacc = 100 * right.sum() / labelled.sum()
    if definition == "detectron2":
        iou[labelled == 0] = np.nan
    return Metrics(
        definition=definition,
        aacc=float(aacc),
        miou=_mean(iou),
        macc=_mean(acc),
        fwiou=float(fwiou),
        iou=iou,
        acc=acc,
    )


def label_pixels(counts: Counts) -> NDArray[np.int64]:
    """Labelled pixels of each class (K,)."""
    return counts.sum(axis=1)


def predicted_pixels(counts: Counts) -> NDArray[np.int64]:
    """Pixels predicted as each class (K,), where the label is not ignored."""
    return counts[:, :-1].sum(axis=0)


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of the values that are not nan; nan if all are."""
    valid = values[~np.isnan(values)]
    return float(valid.mean()) if valid.size else float("nan")
