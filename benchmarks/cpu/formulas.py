"""Figures of other tools' formulas beside ours, on the same masks: equal where definitions are.

    python -m benchmarks.cpu.formulas --record benchmarks/records/formulas.csv

Rendered streets are predicted by a bundled model. torchmetrics and cityscapesScripts run as they are installed
(`pip install torchmetrics cityscapesscripts`); a row of one that is missing is left out. MMSegmentation and detectron2
do not install beside today's torch: their formulas are written down here from their published definitions, and the
tests hold ours against figures of their code (tests/golden/metrics).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from semask_cli.datasets import IGNORE, Dataset, classes, find_dataset, read_labels
from semask_cli.evaluation.calibration import BINS, calibration, confidence_counts
from semask_cli.evaluation.results import Evaluation
from toy_street import TEST_SEEDS, write_cityscapes

MODEL = "toy-street-fpn"
CLASSES = len(classes("cityscapes"))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure in percent by another tool, and ours; `equal` says whether the two definitions are."""

    tool: str
    figure: str
    theirs: float
    ours: float
    equal: bool


class Streets:
    """Rendered scenes in Cityscapes' layout, and what a model predicts on them."""

    def __init__(self, folder: Path, scenes: int) -> None:
        write_cityscapes(folder, TEST_SEEDS[:scenes])
        self.folder = folder
        self.dataset: Dataset = find_dataset("cityscapes", root=folder)
        self.segmenter = semask_cli.load(MODEL, device="cpu")
        self.evaluation: Evaluation = semask_cli.evaluate(
            self.dataset,
            self.segmenter,
            definition="mmseg",
            boundaries=True,
            save_pred=folder / "masks",
            journal=folder / "journal",
        )

    @cached_property
    def maps(self) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """(labels, prediction) of each scene."""
        return [
            (read_labels(sample.label, self.dataset.encoding), np.asarray(Image.open(self.mask(sample.id))))
            for sample in self.dataset.samples
            if sample.label
        ]

    @cached_property
    def pixels(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """All labels and predictions, where a label counts."""
        labels, predicted = (np.concatenate([each.ravel() for each in maps]) for maps in zip(*self.maps, strict=True))
        return labels[labels != IGNORE], predicted[labels != IGNORE]

    def mask(self, key: str) -> Path:
        return self.folder / "masks" / f"{key}.png"


def mmsegmentation(streets: Streets) -> Iterator[Row]:
    """mmseg.core.evaluation.metrics: histograms of intersection, prediction and label over all images."""
    labels, predicted = streets.pixels
    histogram = [np.bincount(each, minlength=CLASSES) for each in (labels[labels == predicted], predicted, labels)]
    intersect, guessed, labelled = histogram
    with np.errstate(invalid="ignore"):
        iou = intersect / (guessed + labelled - intersect)
        acc, dice = intersect / labelled, 2 * intersect / (guessed + labelled)
    e = streets.evaluation
    for name, value, ours in (
        ("aAcc", intersect.sum() / labelled.sum(), e.aacc),
        ("mIoU", np.nanmean(iou), e.miou),
        ("mAcc", np.nanmean(acc), e.macc),
        ("mDice", np.nanmean(dice), e.mdice),
    ):
        yield Row(tool="MMSegmentation's formula", figure=name, theirs=100 * value, ours=ours or 0, equal=True)


def detectron2(streets: Streets) -> Iterator[Row]:
    """SemSegEvaluator.evaluate: a confusion matrix, classes without a label left out, IoU weighted by label pixels."""
    labels, predicted = streets.pixels
    matrix = np.bincount(labels.astype(int) * CLASSES + predicted, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    right, labelled, guessed = np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    valid = labelled > 0
    iou = right[valid] / (labelled + guessed - right)[valid]
    weighted = (iou * labelled[valid] / labelled.sum()).sum()
    e = streets.evaluation
    yield from (
        Row(tool="detectron2's formula", figure=name, theirs=100 * value, ours=ours or 0, equal=True)
        for name, value, ours in (
            ("mIoU", iou.mean(), e.miou_by_definition["detectron2"]),
            ("fwIoU", weighted, e.fwiou),
            ("mACC", (right[valid] / labelled[valid]).mean(), e.macc),
            ("pACC", right.sum() / labelled.sum(), e.aacc),
        )
    )


def torchmetrics(streets: Streets) -> Iterator[Row]:
    from torchmetrics.functional import classification as metrics
    from torchmetrics.segmentation import MeanIoU

    labels, predicted = (torch.from_numpy(each.astype(np.int64)) for each in streets.pixels)
    e = streets.evaluation
    options = {"num_classes": CLASSES, "average": "macro"}
    for name, function, ours in (
        ("multiclass_jaccard_index", metrics.multiclass_jaccard_index, e.miou),
        ("multiclass_recall", metrics.multiclass_recall, e.macc),
        ("multiclass_precision", metrics.multiclass_precision, e.mprecision),
        ("multiclass_f1_score", metrics.multiclass_f1_score, e.mdice),
    ):
        theirs = 100 * float(function(predicted, labels, **options))
        yield Row(tool=_named("torchmetrics"), figure=name, theirs=theirs, ours=ours or 0, equal=True)
    micro = 100 * float(metrics.multiclass_accuracy(predicted, labels, num_classes=CLASSES, average="micro"))
    yield Row(
        tool=_named("torchmetrics"), figure="multiclass_accuracy, micro", theirs=micro, ours=e.aacc or 0, equal=True
    )
    yield _calibration_error(streets, metrics.multiclass_calibration_error)
    by_image = MeanIoU(num_classes=CLASSES, input_format="index")
    for labels_map, mask in streets.maps:  # it has no ignored label: pixels that are not counted are taken as right
        seen = np.where(labels_map == IGNORE, mask, labels_map).astype(np.int64)
        by_image.update(torch.from_numpy(mask.astype(np.int64))[None], torch.from_numpy(seen)[None])
    yield Row(
        tool=_named("torchmetrics"),
        figure="segmentation.MeanIoU, a mean of images, with no ignored label",
        theirs=100 * float(by_image.compute()),
        ours=e.fine_grained.miou_by_image or 0,
        equal=False,
    )


def _calibration_error(streets: Streets, function: Callable[..., torch.Tensor]) -> Row:
    """On every 97th pixel: it sums confidences in float32, and of half a million the second decimal is lost."""
    sample = streets.dataset.samples[0]
    assert sample.label
    truth = read_labels(sample.label, streets.dataset.encoding)
    places = np.flatnonzero(truth != IGNORE)[::97]
    scores = streets.segmenter.scores(sample.image).flatten(1)[:, torch.from_numpy(places)].T
    kept = truth.ravel()[places]
    theirs = 100 * float(function(scores, torch.from_numpy(kept.astype(np.int64)), CLASSES, n_bins=BINS, norm="l1"))
    best = scores.max(1)
    counts = confidence_counts(kept[None], best.indices.numpy().astype(np.uint8)[None], best.values.numpy()[None])
    ours = calibration([counts], streets.dataset.classes.classes, "").ece
    return Row(
        tool=_named("torchmetrics"),
        figure=f"multiclass_calibration_error, {len(places):,} pixels",
        theirs=theirs,
        ours=ours or 0,
        equal=True,
    )


def cityscapes_scripts(streets: Streets) -> Iterator[Row]:
    if not hasattr(np, "in1d"):  # the program predates NumPy 2.4
        np.in1d = np.isin  # type: ignore[attr-defined]
    program = import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    program.args.quiet, program.args.JSONOutput, program.args.evalInstLevelScore = True, False, False
    table = np.zeros(256, np.uint8)
    encoding = streets.dataset.classes.encodings["labelIds"].table
    for value in np.flatnonzero((encoding >= 0) & (encoding != IGNORE)):
        table[encoding[value]] = value
    masks, truths = [], []
    for sample in streets.dataset.samples:
        assert sample.label
        masks.append(streets.folder / "label-ids" / f"{sample.name}.png")
        masks[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(table[np.asarray(Image.open(streets.mask(sample.id)))]).save(masks[-1])
        truths.append(str(sample.label).replace("labelTrainIds", "labelIds"))
    with contextlib.redirect_stdout(io.StringIO()):
        found = program.evaluateImgLists([*map(str, masks)], truths, program.args)
    e = streets.evaluation
    tool = _named("cityscapesscripts")
    yield Row(
        tool=tool,
        figure="averageScoreClasses",
        theirs=100 * found["averageScoreClasses"],
        ours=e.miou_by_definition["cityscapes"] or 0,
        equal=True,
    )
    ours = e.cityscapes.category_iou if e.cityscapes else None
    yield Row(
        tool=tool,
        figure="averageScoreCategories",
        theirs=100 * found["averageScoreCategories"],
        ours=ours or 0,
        equal=True,
    )


def boundary_iou(streets: Streets) -> Iterator[Row]:
    """The definition of Cheng et al.: each class's mask less its repeated erosion by 3 x 3, from a padded image."""
    sums = np.zeros((2, CLASSES))
    for labels, predicted in streets.maps:
        rounds = max(1, round(0.02 * float(np.hypot(*labels.shape))))
        counted = labels != IGNORE
        seen = np.where(counted, predicted, IGNORE)
        for index in range(CLASSES):
            edges = [_edge(each == index, rounds) for each in (labels, seen)]
            sums[:, index] += (edges[0] & edges[1]).sum(), (edges[0] | edges[1]).sum()
    with np.errstate(invalid="ignore"):
        theirs = 100 * np.nanmean(sums[0] / sums[1])
    ours = streets.evaluation.boundaries
    yield Row(
        tool="Boundary IoU's definition",
        figure="mean over classes",
        theirs=theirs,
        ours=(ours.miou if ours else None) or 0,
        equal=True,
    )


def _edge(mask: NDArray[np.bool_], rounds: int) -> NDArray[np.bool_]:
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=rounds)[1:-1, 1:-1]
    return mask & (inner == 0)


def _named(package: str) -> str:
    return f"{package} {version(package)}"


TOOLS: tuple[Callable[[Streets], Iterator[Row]], ...] = (
    mmsegmentation,
    detectron2,
    torchmetrics,
    cityscapes_scripts,
    boundary_iou,
)


def main() -> None:
    parser: argparse.ArgumentParser = record_parser(__doc__)
    parser.add_argument("--scenes", type=int, default=20)
    arguments = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        streets = Streets(Path(name), arguments.scenes)
        for tool in TOOLS:
            try:
                rows += tool(streets)
            except ImportError as error:
                print(f"left out: {error}")
    print(f"{'tool':30}  {'figure':62}  {'theirs':>10}  {'ours':>10}  difference")
    for row in rows:
        note = f"{row.ours - row.theirs:+.1e}" if row.equal else "another definition"
        print(f"{row.tool:30}  {row.figure:62}  {row.theirs:10.6f}  {row.ours:10.6f}  {note}")
    write_record(
        arguments.record,
        [
            {
                "tool": row.tool,
                "figure": row.figure,
                "theirs": f"{row.theirs:.6f}",
                "ours": f"{row.ours:.6f}",
                "same_definition": "yes" if row.equal else "no",
                "scenes": arguments.scenes,
            }
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
