"""The result of an evaluation as one document: its inputs, settings and figures.

Except for `run`, it is a function of the records and the settings: equal evaluations have equal documents, however
fast, and by however many processes, the records were made.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from semask_cli.evaluation.boundaries import Boundaries, SizeRecall
from semask_cli.evaluation.calibration import Calibration
from semask_cli.evaluation.confusions import Order, class_order, shares
from semask_cli.evaluation.fine_grained import FineGrained
from semask_cli.evaluation.intervals import Interval, Intervals
from semask_cli.evaluation.metrics import ClassTotals
from semask_cli.evaluation.provenance import Provenance, Run
from semask_cli.io.extras import import_extra

SCHEMA_VERSION = 2
JSON_KEYS = {"images": "pictures", "image_results": "picture_results"}
"""Keys of the document that differ from the names of the fields."""


_NO_CLASS = "no class"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """A class: figures in percent (None if left out of the mean), and its pixels in labels and predictions.

    `acc` is the recall, `dice` the F1 of precision and recall. `interval` is that of the IoU; None if too few images
    have the class (see `evaluation.intervals`).
    """

    index: int
    name: str
    colour: str
    iou: float | None
    acc: float | None
    precision: float | None
    dice: float | None
    label_pixels: int
    predicted_pixels: int
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """`pixels` of one class predicted as another; `share` is their percentage of the label's pixels."""

    label: str
    predicted: str
    pixels: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """One image: mIoU over the classes in its label or prediction, and accuracy, in percent.

    Images with the same `cluster` are not independent. `totals` are (class index, pixels right, labelled, predicted)
    of each class in it, from which all figures are computed. `image` is the SHA-256 of its file; `labels` and
    `predicted` are those of class indices, independent of their encoding (see `records.labels_digest`).
    """

    id: str
    cluster: str
    miou: float | None
    aacc: float | None
    image: str
    labels: str
    predicted: str
    totals: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CityscapesResult:
    """Cityscapes' scores in percent: means, and the IoU of each category. iIoU is None without instance files."""

    category_iou: float | None
    iiou: float | None
    category_iiou: float | None
    categories: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluation. Figures are in percent, None for 0 / 0.

    `miou` and the classes' figures are in `definition`; `miou_by_definition` has all definitions. `published` is the
    published figure of the same weights and protocol, if any. `partial` says why the figures are not those of the whole
    split, and is empty if they are. `missing` counts accepted missing files. `left_out` are the classes that occur in
    neither labels nor predictions, or that the definition leaves out. `intervals` are those of the means; None if there
    are too few images. `cluster_unit` is the word for the images' clusters. `confusion` has the pixels by label (row)
    and prediction (column; the last one: no class). `boundaries`, `objects` and `calibration` are None unless
    requested. `provenance` identifies the inputs, `run` the computation; equal evaluations may come from different
    runs.
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
    mprecision: float | None
    mdice: float | None
    intervals: Intervals | None
    miou_by_definition: dict[str, float | None]
    published: float | None
    cluster_unit: str
    classes: tuple[ClassResult, ...]
    left_out: tuple[str, ...]
    cityscapes: CityscapesResult | None
    fine_grained: FineGrained
    boundaries: Boundaries | None
    objects: tuple[SizeRecall, ...] | None
    calibration: Calibration | None
    confusion: tuple[tuple[int, ...], ...]
    image_results: tuple[ImageResult, ...]
    settings: dict[str, Any]
    provenance: Provenance
    run: Run | None = field(compare=False)

    @property
    def difference(self) -> float | None:
        """mIoU minus the published mIoU, in percentage points."""
        return None if self.miou is None or self.published is None else self.miou - self.published

    def to_json(self) -> dict[str, Any]:
        """The document for json.dumps; `evaluation.reading` reads it back."""
        fields = {JSON_KEYS.get(name, name): value for name, value in dataclasses.asdict(self).items()}
        return {"schema_version": SCHEMA_VERSION, "kind": "evaluation", **fields}

    def confusions(self, count: int = 50) -> tuple[Confusion, ...]:
        """The `count` largest off-diagonal entries of `confusion`, largest first."""
        names = (*(result.name for result in self.classes), _NO_CLASS)
        wrong = np.array(self.confusion)
        np.fill_diagonal(wrong, 0)
        rows, columns = np.nonzero(wrong)
        return tuple(
            Confusion(
                label=names[row],
                predicted=names[column],
                pixels=int(-pixels),
                share=float(100 * -pixels / self.classes[row].label_pixels),
            )
            for pixels, row, column in sorted(zip(-wrong[rows, columns], rows, columns, strict=True))[:count]
        )

    def confusion_csv(self) -> str:
        """The confusion matrix as CSV, with class names as header and first column."""
        names = [_no_formula(result.name) for result in self.classes]
        rows = ([name, *row] for name, row in zip(names, self.confusion, strict=True))
        return _csv(["label", *names, _NO_CLASS], rows)

    def plot_confusion(self, axes: Any = None, *, order: Order = "similarity") -> Any:
        """Plot the confusion matrix, normalised by row, on matplotlib's `axes` or new ones; returns the axes.

        `order` is that of the classes; see `confusions.class_order`.

        Raises:
            UsageError: matplotlib is not installed.
        """
        pyplot = import_extra("matplotlib.pyplot", extra="analysis", purpose="plot_confusion")
        if axes is None:
            side = max(4.0, 0.28 * len(self.classes))
            _, axes = pyplot.subplots(figsize=(side, side), layout="constrained")
        counts = np.array(self.confusion, np.int64)
        indices = class_order(counts, order)
        names = [self.classes[index].name for index in indices]
        axes.imshow(shares(counts)[np.ix_(indices, indices)], vmin=0, vmax=1, cmap="Blues")
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("labelled")
        axes.set_title(f"{self.title} on {self.dataset}")
        return axes

    def to_pandas(self, table: Literal["classes", "images"] = "classes") -> Any:
        """The classes by name, or the images by id, as a pandas DataFrame of figures in percent.

        Raises:
            UsageError: pandas is not installed.
        """
        rows: Any = self.classes if table == "classes" else self.image_results
        key = "name" if table == "classes" else "id"
        columns = [field.name for field in dataclasses.fields(rows[0]) if field.name not in ("interval", "totals")]
        pandas = import_extra("pandas", extra="analysis", purpose="to_pandas")
        frame = pandas.DataFrame([{name: getattr(row, name) for name in columns} for row in rows])
        if table == "classes":
            intervals = [row.interval for row in self.classes]
            frame["iou_low"] = [interval and interval.low for interval in intervals]
            frame["iou_high"] = [interval and interval.high for interval in intervals]
        return frame.set_index(key)

    def totals(self) -> ClassTotals:
        """The totals (N, K) of the images, in their order."""
        stacks = np.zeros((len(self.image_results), 3, len(self.classes)), np.int64)
        for stack, result in zip(stacks, self.image_results, strict=True):
            if result.totals:
                index, *totals = zip(*result.totals, strict=True)
                stack[:, index] = totals
        return ClassTotals.unstacked(stacks.reshape(len(stacks), 3 * len(self.classes)))

    def to_csv(self) -> str:
        """The classes as CSV with a header."""
        plain = [field.name for field in dataclasses.fields(ClassResult) if field.name != "interval"]
        rows = []
        for row in self.classes:
            values = [_no_formula(value) if isinstance(value := getattr(row, name), str) else value for name in plain]
            bounds = (row.interval.low, row.interval.high) if row.interval else (None, None)
            rows.append([*values, *bounds])
        return _csv([*plain, "iou_low", "iou_high"], rows)


def document_text(document: dict[str, Any]) -> str:
    """A document as JSON text with a line per key and per row of a table, readable and easy to diff."""
    entries = []
    for key, value in document.items():
        if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in value)
            entries.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            entries.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(entries) + "\n}"


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def _no_formula(text: str) -> str:
    """Text, quoted if a spreadsheet would read it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
