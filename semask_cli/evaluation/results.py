"""The outcome of an evaluation, as one document: what was evaluated, how, and every figure.

It is a function of the records and the settings alone. Nothing in it depends on when, how fast or by how many
processes the records were made, so equal evaluations have equal documents.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semask_cli.datasets import ClassSet
from semask_cli.evaluation.cityscapes import cityscapes_scores
from semask_cli.evaluation.journal import Record, Settings
from semask_cli.evaluation.metrics import DEFINITIONS, Counts, label_pixels, metrics, predicted_pixels

SCHEMA_VERSION = 1
JSON_KEYS = {"images": "pictures", "image_results": "picture_results"}
"""The keys of the document that have other names than the fields."""

_CONFUSIONS = 50
_NO_CLASS = "no class"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """A class: IoU and accuracy in percent (None where left out of the mean), pixels in labels and predictions."""

    index: int
    name: str
    colour: str
    iou: float | None
    acc: float | None
    label_pixels: int
    predicted_pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """`pixels` labelled as one class and predicted as another; `share` of the label's pixels, in percent."""

    label: str
    predicted: str
    pixels: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """An image by itself: mIoU over the classes in its label or prediction, and accuracy, in percent."""

    id: str
    miou: float | None
    aacc: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CityscapesResult:
    """Cityscapes' own scores in percent: means, and each category's IoU. iIoU is None without instance files."""

    category_iou: float | None
    iiou: float | None
    category_iiou: float | None
    categories: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluation. Figures are in percent, None where there was nothing to divide by.

    `miou` and the classes' figures are in `definition`; `miou_by_definition` has the others'. `published` is the
    published figure of the same protocol, if there is one. `partial` says in words why the figure is not that of the
    whole split, and is empty where it is. `missing` counts the files gone without. `left_out` are the classes that
    occur in neither labels nor predictions, or that the definition leaves out.
    """

    title: str
    dataset: str
    split: str
    images: int
    missing: int
    partial: str
    definition: str
    miou: float | None
    macc: float | None
    aacc: float | None
    fwiou: float | None
    miou_by_definition: dict[str, float | None]
    published: float | None
    classes: tuple[ClassResult, ...]
    left_out: tuple[str, ...]
    cityscapes: CityscapesResult | None
    confusions: tuple[Confusion, ...]
    image_results: tuple[ImageResult, ...]
    settings: dict[str, Any]

    @property
    def difference(self) -> float | None:
        """mIoU minus the published mIoU, in points."""
        return None if self.miou is None or self.published is None else self.miou - self.published

    def to_json(self) -> dict[str, Any]:
        """The document for json.dumps; `evaluation.reading` reads it back."""
        fields = {JSON_KEYS.get(name, name): value for name, value in dataclasses.asdict(self).items()}
        return {"schema_version": SCHEMA_VERSION, "kind": "evaluation", **fields}

    def to_csv(self) -> str:
        """The classes as a table with a line of names."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([field.name for field in dataclasses.fields(ClassResult)])
        writer.writerows(
            dataclasses.astuple(dataclasses.replace(row, name=_no_formula(row.name))) for row in self.classes
        )
        return buffer.getvalue()


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
) -> Evaluation:
    """Every figure of `records`, one for each image and sorted by id; in percent, at the size of the labels."""
    total = np.zeros((len(class_set), len(class_set) + 1), np.int64)
    image_results = []
    for record in records:
        counts = record.counts(len(class_set))
        total += counts
        image = metrics(counts, "mmseg")
        image_results.append(ImageResult(id=record.id, miou=_number(image.miou), aacc=_number(image.aacc)))
    figures = metrics(total, definition)
    return Evaluation(
        title=title,
        dataset=class_set.name,
        split=split,
        images=len(records),
        missing=missing,
        partial=partial,
        definition=definition,
        miou=_number(figures.miou),
        macc=_number(figures.macc),
        aacc=_number(figures.aacc),
        fwiou=_number(figures.fwiou),
        miou_by_definition={name: _number(metrics(total, name).miou) for name in DEFINITIONS},
        published=published,
        classes=_class_results(total, class_set, definition),
        left_out=tuple(name for name, iou in zip(class_set.classes, figures.iou, strict=True) if np.isnan(iou)),
        cityscapes=_cityscapes(total, records, class_set) if class_set.spec and class_set.spec.categories else None,
        confusions=_confusions(total, class_set),
        image_results=tuple(image_results),
        settings=json.loads(json.dumps(settings)),
    )


def _class_results(total: Counts, class_set: ClassSet, definition: str) -> tuple[ClassResult, ...]:
    figures = metrics(total, definition)
    labelled, predicted = label_pixels(total), predicted_pixels(total)
    return tuple(
        ClassResult(
            index=index,
            name=name,
            colour=colour,
            iou=_number(figures.iou[index]),
            acc=_number(figures.acc[index]),
            label_pixels=int(labelled[index]),
            predicted_pixels=int(predicted[index]),
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
        categories={name: _number(value) for name, value in scores.category_iou.items()},
    )


def _confusions(total: Counts, class_set: ClassSet) -> tuple[Confusion, ...]:
    """The largest counts off the diagonal, largest first."""
    wrong = total.copy()
    np.fill_diagonal(wrong, 0)
    names = (*class_set.classes, _NO_CLASS)
    labelled = label_pixels(total)
    rows, columns = np.nonzero(wrong)
    largest = sorted(zip(-wrong[rows, columns], rows, columns, strict=True))[:_CONFUSIONS]
    return tuple(
        Confusion(label=names[row], predicted=names[column], pixels=int(-n), share=float(100 * -n / labelled[row]))
        for n, row, column in largest
    )


def _no_formula(text: str) -> str:
    """Text that a spreadsheet would take for a formula, marked as text."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _mean(values: Any) -> float | None:
    valid = [value for value in values if not math.isnan(value)]
    return math.fsum(valid) / len(valid) if valid else None


def _number(value: float) -> float | None:
    """A float, or None for nan, which JSON has not."""
    return None if math.isnan(value) else float(value)
