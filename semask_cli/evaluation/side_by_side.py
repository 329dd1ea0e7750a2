"""The images on which runs differ most: labels, each run's prediction, and where each run is right.

Evaluations hold no pixels: predictions are read from the masks that were evaluated (--pred) or saved (--save-pred), and
must be those that were counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semask_cli.datasets import IGNORE, Dataset, Sample, read_labels
from semask_cli.datasets.spec import CLASS_INDICES
from semask_cli.errors import UsageError
from semask_cli.evaluation.pages import painted, thumbnail
from semask_cli.evaluation.records import labels_digest
from semask_cli.evaluation.results import Evaluation
from semask_cli.evaluation.sources import MaskFolder
from semask_cli.io.images import RGB, read_image
from semask_cli.output.render import Labels, overlay

RIGHT = {"first": (31, 111, 139), "second": (217, 130, 43), "none": (120, 24, 24)}
"""Colours of pixels where only the baseline is right, only the run, and neither."""

_WIDTH = 560  # maximum width of an image in the page, in pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An image in the page as a data URL, and its `title`."""

    title: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """The views of one image: itself, its labels, each run's prediction, and each run compared with the baseline."""

    id: str
    views: tuple[View, ...]


def side_by_side(
    ids: Sequence[str], runs: Mapping[str, Evaluation], baseline: str, dataset: Dataset
) -> Iterator[SideBySide]:
    """The images `ids` of `dataset` with the predictions of `runs`, by name.

    Raises:
        UsageError: the labels, or the masks of a run, are not on this machine, or are not those that were counted.
        DatasetError: an image, label or mask cannot be read.
    """
    samples = {sample.id: sample for sample in dataset.samples}
    chosen = [samples[key] for key in ids if key in samples]
    predicted = {name: _predictions(name, run, chosen, dataset) for name, run in runs.items()}
    digests = {result.id: result.labels for result in runs[baseline].image_results}
    for index, sample in enumerate(chosen):
        labels = read_labels(sample.label, dataset.encoding) if sample.label else None
        if labels is None or labels_digest(labels) != digests[sample.id]:
            raise UsageError(
                f"the label of {sample.id} in {dataset.root} is missing, or not the one that {baseline} was counted on",
                "Name the dataset of the evaluations.",
            )
        masks = {name: predicted[name][index] for name in runs}
        yield _side_by_side(sample, labels, masks, baseline, dataset)


def who_is_right(image: RGB, labels: Labels, first: Labels, second: Labels) -> RGB:
    """The image in grey, in RIGHT's colours where only one is right, or neither; pale where nothing is counted."""
    counted = labels != IGNORE
    right = [(each == labels) & counted for each in (first, second)]
    areas = {
        "first": right[0] & ~right[1],
        "second": right[1] & ~right[0],
        "none": counted & ~right[0] & ~right[1],
    }
    return painted(image, [(areas[name], RIGHT[name]) for name in RIGHT], pale=~counted, brightness=0.5)


def masks_of(run: Evaluation) -> tuple[Path, str] | None:
    """The folder and encoding of the masks that a run evaluated or saved; None if there are none."""
    if "masks" in run.settings:
        return Path(run.settings["masks"]), run.settings["mask_coding"]
    return (Path(run.run.masks), CLASS_INDICES) if run.run and run.run.masks else None


def _predictions(name: str, run: Evaluation, samples: Sequence[Sample], dataset: Dataset) -> list[Labels]:
    found = masks_of(run)
    if not found or not found[0].is_dir():
        raise UsageError(
            f"the masks of {name} are missing", "Evaluate with --save-pred DIR to show images side by side."
        )
    folder, encoding = found
    source = MaskFolder(folder, samples, dataset.classes.encoding(encoding))
    if source.missing:
        raise UsageError(f"{folder} has no mask of {source.missing[0].id}, which {name} predicted")
    digests = {result.id: result.predicted for result in run.image_results}
    masks = list(source.labels(samples))
    for sample, mask in zip(samples, masks, strict=True):
        if labels_digest(mask) != digests[sample.id]:
            raise UsageError(
                f"the mask of {sample.id} in {folder} is not the one that {name} was evaluated with",
                "Evaluate again, with --save-pred DIR.",
            )
    return masks


def _side_by_side(
    sample: Sample, labels: Labels, predicted: Mapping[str, Labels], baseline: str, dataset: Dataset
) -> SideBySide:
    image = read_image(sample.image)

    def tinted(title: str, shown: Labels) -> View:
        return _view(title, overlay(image, shown, dataset.classes.palette, opacity=0.65))

    views = [_view("image", image), tinted("labels", labels)]
    views += [tinted(name, mask) for name, mask in predicted.items()]
    views += [
        _view(f"{baseline} or {name} right", who_is_right(image, labels, predicted[baseline], mask))
        for name, mask in predicted.items()
        if name != baseline
    ]
    return SideBySide(id=sample.id, views=tuple(views))


def _view(title: str, pixels: RGB) -> View:
    return View(title=title, address=thumbnail(pixels, width=_WIDTH))
