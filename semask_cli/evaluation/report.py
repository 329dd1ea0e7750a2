"""The report of an evaluation: an HTML page, with the same figures as JSON and CSV."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from semask_cli.datasets import IGNORE, Dataset, Sample, read_labels
from semask_cli.evaluation.confusions import Order, class_order, shares
from semask_cli.evaluation.metrics import DEFINITIONS
from semask_cli.evaluation.pages import encoded, exact, painted, render_page, thumbnail
from semask_cli.evaluation.results import Evaluation, ImageResult, document_text
from semask_cli.evaluation.sources import Source
from semask_cli.io.files import write_atomically
from semask_cli.io.images import RGB, read_image
from semask_cli.output.render import Labels, overlay

REPORT_FILES = ("report.html", "evaluation.json", "classes.csv", "confusion.csv")
"""The names of the files of a report."""

_SHOWN = 5  # worst images, and best images
_WIDTH = 720  # maximum width of an image in the page, in pixels
_BINS = 20
_WRONG = (228, 60, 46)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An image in the report: `photo` to `classes` are data URLs.

    `classes` is a small image with pixels (label, predicted class, 0), for tooltips. `present` are the classes labelled
    or predicted in it.
    """

    id: str
    miou: float | None
    photo: str
    labels: str
    predicted: str
    errors: str
    classes: str
    present: tuple[int, ...]


def write_report(folder: Path, evaluation: Evaluation, dataset: Dataset, source: Source) -> Path:
    """Write report.html, evaluation.json, classes.csv and confusion.csv to `folder`; the page's path.

    The images shown are predicted once more, before anything is written.

    Raises:
        OutputError: a file cannot be written.
    """
    page, figures, table, confusion = (folder / name for name in REPORT_FILES)
    shown = encoded(report_page(evaluation, dataset, source))
    write_atomically(figures, encoded(document_text(evaluation.to_json()) + "\n"))
    write_atomically(table, encoded(evaluation.to_csv()))
    write_atomically(confusion, encoded(evaluation.confusion_csv()))
    write_atomically(page, shown)
    return page


def report_page(evaluation: Evaluation, dataset: Dataset, source: Source) -> str:
    """The page, as HTML."""
    ranked = sorted(
        (result for result in evaluation.image_results if result.miou is not None),
        key=lambda result: (result.miou, result.id),
    )
    worst = ranked[:_SHOWN]
    best = ranked[len(worst) :][-_SHOWN:][::-1]
    return render_page(
        "report.html.j2",
        e=evaluation,
        definition=DEFINITIONS[evaluation.definition],
        histogram=_histogram([result.miou for result in ranked if result.miou is not None]),
        worst=_examples(worst, dataset, source),
        best=_examples(best, dataset, source),
        settings=flat(evaluation.settings),
        provenance=flat(_provenance(evaluation)),
        matrix=_matrix(evaluation),
        colours={result.name: result.colour for result in evaluation.classes},
    )


def flat(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """Settings as rows of a table; nested tables become one row."""
    lines = []
    for key, value in settings.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {item}" for name, item in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        lines.append((key.replace("_", " "), "–" if value in (None, "") else str(value)))
    return lines


def _provenance(evaluation: Evaluation) -> dict[str, Any]:
    """The provenance and the run, formatted for display."""
    run = dataclasses.asdict(evaluation.run) if evaluation.run else {}
    if run:
        run |= {"command": " ".join(run["command"]), "seconds": f"{run.pop('milliseconds') / 1000:.1f}"}
    return {**dataclasses.asdict(evaluation.provenance), **run}


def _matrix(evaluation: Evaluation) -> dict[str, Any]:
    """The confusion matrix for the page: normalised rows in 16 bits, little-endian, and orders of classes."""
    counts = np.array(evaluation.confusion, np.int64)
    levels = np.maximum(np.rint(65535 * shares(counts)), counts > 0).astype("<u2")  # no nonzero entry becomes 0
    return {
        "classes": len(counts),
        "shares": base64.b64encode(levels.tobytes()).decode(),
        "orders": {order: class_order(counts, order) for order in get_args(Order)},
    }


def error_map(image: RGB, labels: Labels, predicted: Labels) -> RGB:
    """The image in dark grey, wrong pixels red, ignored ones pale."""
    ignored = labels == IGNORE
    return painted(image, [((labels != predicted) & ~ignored, _WRONG)], pale=ignored, brightness=0.45)


def _examples(results: Sequence[ImageResult], dataset: Dataset, source: Source) -> list[Example]:
    by_id = {sample.id: sample for sample in dataset.samples}
    samples = [by_id[result.id] for result in results]
    return [
        _example(sample, result, predicted, dataset)
        for sample, result, predicted in zip(samples, results, source.labels(samples), strict=True)
    ]


def _example(sample: Sample, result: ImageResult, predicted: Labels, dataset: Dataset) -> Example:
    assert sample.label is not None  # or it would have no mIoU
    image, labels = read_image(sample.image), read_labels(sample.label, dataset.encoding)
    palette = dataset.classes.palette
    return Example(
        id=sample.id,
        miou=result.miou,
        photo=thumbnail(image, width=_WIDTH),
        labels=thumbnail(overlay(image, labels, palette, opacity=0.65), width=_WIDTH),
        predicted=thumbnail(overlay(image, predicted, palette, opacity=0.65), width=_WIDTH),
        errors=thumbnail(error_map(image, labels, predicted), width=_WIDTH),
        classes=exact(_class_map(labels, predicted)),
        present=tuple(index for index, *_ in result.totals),
    )


def _class_map(labels: Labels, predicted: Labels) -> RGB:
    """(label, predicted class, 0), subsampled to at most _WIDTH pixels in width: (h, w, 3)."""
    step = math.ceil(labels.shape[1] / _WIDTH)
    first = min(step // 2, labels.shape[0] - 1)  # of the rows, which may be fewer
    return np.dstack([labels, predicted, np.zeros_like(labels)])[first::step, step // 2 :: step]


def _histogram(values: Sequence[float]) -> list[dict[str, Any]]:
    """Images by mIoU in bins of five points; the highest bar has height 1."""
    counts, edges = np.histogram(values, bins=_BINS, range=(0, 100))
    return [
        {"height": float(n / max(1, counts.max())), "title": f"{n} images with mIoU {low:.0f} to {high:.0f}"}
        for n, low, high in zip(counts.tolist(), edges[:-1], edges[1:], strict=True)
    ]
