"""Figures in which all images have equal weight: mIoU by image and by class, and of the worst images.

Follows Wang et al., Revisiting Evaluation Metrics for Semantic Segmentation: Optimization and Evaluation of
Fine-grained Intersection over Union (NeurIPS 2023, arXiv 2310.19252). mIoU sums pixels over a dataset, so large objects
dominate. Here the IoU of a class is computed in each image whose label has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semask_cli.evaluation.metrics import ClassTotals, mean, metrics

QUANTILES = (1, 5, 10, 25)
"""Percentages of the images for the worst-case figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FineGrained:
    """Figures in percent; None if no image has a label.

    `miou_by_image` is mIoU^I, the mean over images of the mean over the classes in their labels. `miou_by_class` is
    mIoU^C, the mean over classes of the mean over the images that have them. `worst_by_image` and `worst_by_class` are
    these figures for the worst q percent of images (of each class separately), rounded down, at least one image.
    """

    miou_by_image: float | None
    miou_by_class: float | None
    worst_by_image: dict[str, float | None]
    worst_by_class: dict[str, float | None]


def fine_grained(totals: ClassTotals) -> FineGrained:
    """The figures for the totals (N, K) of N images."""
    iou = metrics(totals, "detectron2").iou  # nan where a class is not labelled
    by_image, by_class = mean(iou)[:, None], iou
    return FineGrained(
        miou_by_image=_worst(by_image, 100),
        miou_by_class=_worst(by_class, 100),
        worst_by_image={str(q): _worst(by_image, q) for q in QUANTILES},
        worst_by_class={str(q): _worst(by_class, q) for q in QUANTILES},
    )


def _worst(values: NDArray[np.float64], percent: int) -> float | None:
    """The mean over columns of the mean of their smallest `percent` of values; nan is left out."""
    means = []
    for column in np.sort(values, axis=0).T:
        valid = column[~np.isnan(column)]
        if len(valid):
            means.append(valid[: max(1, len(valid) * percent // 100)].mean())
    return float(np.mean(means)) if means else None
