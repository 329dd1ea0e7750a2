"""From the records of images to an evaluation, which is a function of the records and the settings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, SupportsFloat

import numpy as np

from semask_cli.datasets import ClassSet
from semask_cli.evaluation.boundaries import boundaries, recall_by_size
from semask_cli.evaluation.calibration import Calibration, calibration, unpacked
from semask_cli.evaluation.cityscapes import cityscapes_scores
from semask_cli.evaluation.fine_grained import fine_grained
from semask_cli.evaluation.intervals import Interval, intervals
from semask_cli.evaluation.journal import Settings
from semask_cli.evaluation.metrics import (
    DEFINITIONS,
    ClassTotals,
    Counts,
    class_totals,
    mean,
    metrics,
    precision_and_dice,
)
from semask_cli.evaluation.provenance import Run, provenance
from semask_cli.evaluation.records import Record
from semask_cli.evaluation.results import CityscapesResult, ClassResult, Evaluation, ImageResult


def summarise(
    records: Sequence[Record],
    class_set: ClassSet,
    *,
    title: str,
    split: str,
    definition: str,
    settings: Settings,
    published: float | None = None,
    partial: str = "",
    missing: int = 0,
    split_state: str = "",
    run: Run | None = None,
) -> Evaluation:
    """All figures of `records`, one per image and sorted by id.

    `split_state` becomes `Provenance.split`; the other arguments are fields of `Evaluation`.
    """
    located, score = "boundaries" in settings, settings.get("calibration")
    total, totals = _sums(records, len(class_set))
    spec = class_set.spec.clusters if class_set.spec else None
    clusters = [spec.cluster(record.id) if spec else record.id for record in records]
    unit = spec.unit if spec and len(set(clusters)) < len(clusters) else "image"
    return Evaluation(
        title=title,
        dataset=class_set.name,
        split=split,
        images=len(records),
        missing=missing,
        partial=partial,
        definition=definition,
        published=published,
        cluster_unit=unit,
        cityscapes=_cityscapes(total, records, class_set) if class_set.spec and class_set.spec.categories else None,
        boundaries=boundaries((r.boundaries for r in records), len(class_set), definition) if located else None,
        objects=recall_by_size(r.objects for r in records) if located else None,
        calibration=_calibration(records, class_set, score) if score else None,
        confusion=tuple(map(tuple, total.tolist())),
        image_results=_image_results(records, clusters, totals),
        settings=json.loads(json.dumps(settings)),
        provenance=provenance(records, split_state),
        run=run,
        **figures_of_totals(totals, clusters, class_set, definition=definition, unit=unit),
    )


def figures_of_totals(
    totals: ClassTotals, clusters: Sequence[str], class_set: ClassSet, *, definition: str, unit: str
) -> dict[str, Any]:
    """The fields of Evaluation that depend only on the images' `totals` (N, K) and `clusters`."""
    whole = ClassTotals.unstacked(totals.stacked().sum(axis=0))
    figures = metrics(whole, definition)
    precision, dice = precision_and_dice(whole, definition)
    means, class_intervals = intervals(totals, clusters, definition, unit=unit)
    return {
        "miou": number(figures.miou),
        "macc": number(figures.macc),
        "aacc": number(figures.aacc),
        "fwiou": number(figures.fwiou),
        "mprecision": number(mean(precision)),
        "mdice": number(mean(dice)),
        "intervals": means,
        "fine_grained": fine_grained(totals),
        "miou_by_definition": {name: number(metrics(whole, name).miou) for name in DEFINITIONS},
        "classes": _class_results(whole, class_set, definition, class_intervals),
        "left_out": tuple(name for name, iou in zip(class_set.classes, figures.iou, strict=True) if np.isnan(iou)),
    }


def _calibration(records: Sequence[Record], class_set: ClassSet, score: str) -> Calibration:
    rows = (unpacked(record.confidence, len(class_set)) for record in records if record.confidence)
    return calibration(rows, class_set.classes, score)


def _sums(records: Sequence[Record], classes: int) -> tuple[Counts, ClassTotals]:
    """The confusion matrix of all images (K, K + 1), and the totals of each (N, K)."""
    total = np.zeros((classes, classes + 1), np.int64)
    stacks = np.zeros((len(records), 3 * classes), np.int64)
    for record, stack in zip(records, stacks, strict=True):
        counts = record.counts(classes)
        total += counts
        stack[:] = class_totals(counts).stacked()
    return total, ClassTotals.unstacked(stacks)


def _image_results(records: Sequence[Record], clusters: Sequence[str], totals: ClassTotals) -> tuple[ImageResult, ...]:
    figures = metrics(totals, "mmseg")
    return tuple(
        ImageResult(
            id=record.id,
            cluster=cluster,
            miou=number(miou),
            aacc=number(aacc),
            image=record.image,
            labels=record.labels,
            predicted=record.predicted,
            totals=tuple(
                (index, right, labelled, predicted)
                for index, (right, labelled, predicted) in enumerate(zip(*stack, strict=True))
                if labelled or predicted
            ),
        )
        for record, cluster, miou, aacc, stack in zip(
            records,
            clusters,
            figures.miou,
            figures.aacc,
            zip(totals.right.tolist(), totals.labelled.tolist(), totals.predicted.tolist(), strict=True),
            strict=True,
        )
    )


def _class_results(
    totals: ClassTotals, class_set: ClassSet, definition: str, intervals: Sequence[Interval | None]
) -> tuple[ClassResult, ...]:
    figures = metrics(totals, definition)
    precision, dice = precision_and_dice(totals, definition)
    return tuple(
        ClassResult(
            index=index,
            name=name,
            colour=colour,
            iou=number(figures.iou[index]),
            acc=number(figures.acc[index]),
            precision=number(precision[index]),
            dice=number(dice[index]),
            label_pixels=int(totals.labelled[index]),
            predicted_pixels=int(totals.predicted[index]),
            interval=intervals[index],
        )
        for index, (name, colour) in enumerate(zip(class_set.classes, class_set.hex_colours, strict=True))
    )


def _cityscapes(total: Counts, records: Sequence[Record], class_set: ClassSet) -> CityscapesResult:
    instances = (instance for record in records for instance in record.instances)
    scores = cityscapes_scores(total, instances, class_set)
    return CityscapesResult(
        category_iou=_mean(scores.category_iou.values()),
        iiou=_mean(scores.iiou.values()),
        category_iiou=_mean(scores.category_iiou.values()),
        categories={name: number(value) for name, value in scores.category_iou.items()},
    )


def _mean(values: Iterable[float]) -> float | None:
    valid = [value for value in values if not math.isnan(value)]
    return math.fsum(valid) / len(valid) if valid else None


def number(value: SupportsFloat) -> float | None:
    """A float, or None for nan, which JSON lacks."""
    return None if math.isnan(value) else float(value)
