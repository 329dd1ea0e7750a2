"""Defects of a dataset folder, found before any model is loaded.

Two kinds matter: those that silently change mIoU (labels shifted by one, ids of another encoding), and those that stop
an evaluation after hours (a missing or truncated file, a colour mask).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags

from semask_cli.datasets.class_set import INVALID
from semask_cli.datasets.folders import Dataset, as_dataset
from semask_cli.datasets.labels import ColourMaskError, LabelValueError, mask_size, read_instance_ids, read_values
from semask_cli.datasets.samples import Sample
from semask_cli.datasets.spec import CLASS_INDICES, IGNORE
from semask_cli.errors import DatasetError, ImageError
from semask_cli.io.images import open_image, read_image

DEFECTS = {
    "missing-label": "Images without a label file. Complete the download, or accept it: --allow-missing N.",
    "missing-picture": "Labels without an image. Complete the download, or accept it: --allow-missing N.",
    "unreadable": "Files that are damaged or of another format. Copy them again from the download.",
    "size": "Image and label differ in size. Labels are never resized: give both the same size.",
    "colour-mask": "Colour masks. Colours repeat, so they do not identify classes: write class indices as grey PNGs.",
    "label-ids": "labelIds where trainIds are expected. Make labelTrainIds with the official tool, or give "
    "--label-coding labelIds.",
    "train-ids": "trainIds where labelIds are expected. Give --label-coding trainIds.",
    "not-reduced": "Labels are off by one: 0 still means unlabelled. Give --label-coding reduce-zero.",
    "reduced-twice": "Labels are off by one: 0 is already the first class. Give --label-coding trainIds.",
    "range": "Values that are neither a class nor ignored. They are errors, never counted as something else.",
    "all-ignored": "Labels without a labelled pixel. They count nowhere; check whether that is intended.",
    "subset": "Fewer images than the published split: figures are not comparable with published ones.",
}
"""Every kind of defect, with explanation and fix."""

MISSING = frozenset(("missing-label", "missing-picture"))
HARMLESS = frozenset(("all-ignored", "subset"))

_EXAMPLES = 5
_THREADS = 8

# In datasets where nearly every image has unlabelled pixels, so many labels without any are no coincidence.
_SURELY_UNLABELLED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A kind of defect (a key of DEFECTS), its number of occurrences, and the first `examples`."""

    kind: str
    count: int
    examples: tuple[str, ...]

    @property
    def fatal(self) -> bool:
        """Whether it would stop an evaluation or falsify its figures."""
        return self.kind not in HARMLESS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckReport:
    """All findings. `pixels` and `images_with` (K,) int64 count over the `inspected` labels whose values were read."""

    dataset: Dataset
    findings: tuple[Finding, ...]
    inspected: int
    pixels: NDArray[np.int64]
    images_with: NDArray[np.int64]
    ignored: int

    @property
    def missing(self) -> int:
        """Images without label and labels without image."""
        return sum(finding.count for finding in self.findings if finding.kind in MISSING)

    def fatal(self, *, allow_missing: int = 0) -> tuple[Finding, ...]:
        """The findings that an evaluation refuses, if up to `allow_missing` missing files are accepted."""
        accepted = MISSING if self.missing <= allow_missing else frozenset()
        return tuple(finding for finding in self.findings if finding.fatal and finding.kind not in accepted)

    def to_json(self) -> dict[str, Any]:
        """The document for json.dumps."""
        dataset = self.dataset
        return {
            "schema_version": 1,
            "dataset": dataset.name,
            "split": dataset.split,
            "root": str(dataset.root),
            "layout": dataset.layout,
            "label_coding": dataset.encoding.name,
            "pictures": len(dataset.samples),
            "labels_read": self.inspected,
            "ignored_pixels": self.ignored,
            "classes": [
                {"index": i, "name": name, "pixels": int(self.pixels[i]), "pictures": int(self.images_with[i])}
                for i, name in enumerate(dataset.classes.classes)
            ],
            "findings": [
                {"kind": f.kind, "count": f.count, "fatal": f.fatal, "examples": list(f.examples)}
                for f in self.findings
            ],
            "ready": not self.fatal(),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Inspection:
    """The defects of an image as (kind, example), and the histogram (256,) of its label values, zeros if not read."""

    sample: Sample
    defects: tuple[tuple[str, str], ...]
    values: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))


def check(
    dataset: Dataset | str,
    *,
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    label_limit: int | None = None,
) -> CheckReport:
    """Inspect the headers of all files and the values of all labels.

    With `label_limit` only so many labels are read, and images are not decoded: a truncated one is not found.

    Args:
        dataset: a Dataset, or the name of a published one, found below `root` (or $SEMASK_DATA, $DETECTRON2_DATASETS).
        root: the folder in which a dataset given by name lies.
        split: of a dataset given by name; by default the one of the published figures.
        label_limit: number of labels to read, evenly spread over the split; by default all.

    Raises:
        UsageError: an unknown dataset or split, or no root.
        DatasetError: no image is found.
    """
    dataset = as_dataset(dataset, root=root, split=split)
    labelled = [sample for sample in dataset.samples if sample.label]
    step = 1 if label_limit is None else max(1, len(labelled) // max(1, label_limit))
    deep = {sample.id for sample in labelled[::step]}
    with ThreadPoolExecutor(_THREADS) as pool:
        inspections = list(
            pool.map(
                lambda sample: _inspect(sample, dataset, values=sample.id in deep, decode=label_limit is None), labelled
            )
        )
    defects = [("missing-label", sample.id) for sample in dataset.unlabelled]
    defects += [("missing-picture", str(file)) for file in dataset.orphans]
    defects += [defect for inspection in inspections for defect in inspection.defects]
    read = [inspection for inspection in inspections if inspection.values.any()]
    defects += _suspicions(dataset, read)
    if len(dataset.samples) < dataset.published_images:
        defects.append(("subset", f"{len(dataset.samples)} of {dataset.published_images} images"))
    pixels, images_with, ignored = _histogram(dataset, read)
    return CheckReport(
        dataset=dataset,
        findings=_findings(defects),
        inspected=len(read),
        pixels=pixels,
        images_with=images_with,
        ignored=ignored,
    )


def summary(findings: tuple[Finding, ...]) -> str:
    """The findings in one line: "3 missing-label, 1 size"."""
    return ", ".join(f"{finding.count} {finding.kind}" for finding in findings)


def refuse_defects(dataset: Dataset, *, label_limit: int, allow_missing: int) -> None:
    """Check the headers of all files and the values of some labels, before an evaluation.

    Raises:
        DatasetError: a defect would stop the evaluation or falsify its figures; the suggestion explains each.
    """
    fatal = check(dataset, label_limit=label_limit).fatal(allow_missing=allow_missing)
    if fatal:
        lines = [f"{finding.kind}: {DEFECTS[finding.kind]}\n  {finding.examples[0]}" for finding in fatal]
        raise DatasetError(f"{dataset.name} is not ready: {summary(fatal)}", "\n".join(lines))


def _inspect(sample: Sample, dataset: Dataset, *, values: bool, decode: bool) -> _Inspection:
    assert sample.label is not None
    try:
        size = _displayed_size(sample.image, decode=decode)
        for name, file in (("label", sample.label), ("instance ids", sample.instances)):
            if file and (file_size := mask_size(file)) != size:
                words = [f"{width} x {height}" for height, width in (size, file_size)]
                defect = ("size", f"{sample.id}: image {words[0]}, {name} {words[1]}")
                return _Inspection(sample=sample, defects=(defect,))
        if not values:
            return _Inspection(sample=sample, defects=())
        if sample.instances:
            read_instance_ids(sample.instances, dataset.classes.instance_encoding, size)
        return _inspect_values(sample, dataset, read_values(sample.label, dataset.encoding))
    except ColourMaskError as error:
        return _Inspection(sample=sample, defects=(("colour-mask", str(error.path)),))
    except LabelValueError as error:
        return _Inspection(sample=sample, defects=(("range", error.message),))
    except (DatasetError, ImageError) as error:
        return _Inspection(sample=sample, defects=(("unreadable", error.message),))


def _inspect_values(sample: Sample, dataset: Dataset, values: NDArray[np.integer]) -> _Inspection:
    if values.min(initial=0) < 0 or values.max(initial=0) > 255:
        return _Inspection(sample=sample, defects=(("range", f"{sample.label}: up to {values.max()}"),))
    histogram = np.bincount(values.ravel(), minlength=256)
    present = np.flatnonzero(histogram)
    labels = dataset.encoding.table[present]
    defects = []
    if invalid := present[labels == INVALID].tolist():
        shown = ", ".join(map(str, invalid[:5])) + (", …" if len(invalid) > 5 else "")
        defects.append((_reason(dataset, invalid), f"{sample.label}: {shown}"))
    elif (labels == IGNORE).all():
        defects.append(("all-ignored", str(sample.label)))
    return _Inspection(sample=sample, defects=tuple(defects), values=histogram)


def _reason(dataset: Dataset, invalid: list[int]) -> str:
    """The kind of defect that explains values outside the encoding."""
    encodings = dataset.classes.encodings
    if dataset.encoding.name == CLASS_INDICES:
        if "labelIds" in encodings and (encodings["labelIds"].table[invalid] != INVALID).all():
            return "label-ids"
        if "reduce-zero" in encodings and invalid == [len(dataset.classes)]:
            return "not-reduced"
    return "range"


def _suspicions(dataset: Dataset, inspections: list[_Inspection]) -> Iterable[tuple[str, str]]:
    """Defects that no single label shows: valid values, in a combination that is not."""
    total = sum((inspection.values for inspection in inspections), np.zeros(256, np.int64))
    count, encoding = len(dataset.classes), dataset.encoding.name
    with_255 = [inspection.sample.label for inspection in inspections if inspection.values[IGNORE]]
    # In folders of the user's own, whose coding the user named, 255 may stand beside 0.
    if encoding == "reduce-zero" and dataset.spec and not total[count]:
        yield from (("reduced-twice", f"{label}: 255") for label in with_255)
    if encoding == "labelIds" and not total[count:IGNORE].any():
        yield from (("train-ids", f"{label}: 255") for label in with_255)
    unlabelled_everywhere = dataset.spec is not None and dataset.spec.unlabelled_everywhere
    if encoding == CLASS_INDICES and unlabelled_everywhere and len(inspections) >= _SURELY_UNLABELLED:
        complete = [inspection.sample.label for inspection in inspections if not inspection.values[count:].any()]
        if len(complete) == len(inspections):
            yield from (("not-reduced", f"{label}: no pixel is unlabelled") for label in complete)


def _histogram(dataset: Dataset, inspections: list[_Inspection]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Pixels and images of each class (K,), and ignored pixels."""
    pixels, images_with = (np.zeros(256, np.int64) for _ in range(2))
    valid = dataset.encoding.table != INVALID
    for inspection in inspections:
        labels = np.zeros(256, np.int64)
        np.add.at(labels, dataset.encoding.table[valid], inspection.values[valid])
        pixels += labels
        images_with += labels > 0
    count = len(dataset.classes)
    return pixels[:count], images_with[:count], int(pixels[IGNORE])


def _findings(defects: Iterable[tuple[str, str]]) -> tuple[Finding, ...]:
    """One finding for each kind that occurs, in the order of DEFECTS."""
    examples: dict[str, list[str]] = {kind: [] for kind in DEFECTS}
    for kind, example in defects:
        examples[kind].append(example)
    return tuple(
        Finding(kind=kind, count=len(found), examples=tuple(found[:_EXAMPLES]))
        for kind, found in examples.items()
        if found
    )


def _displayed_size(path: Path, *, decode: bool) -> tuple[int, int]:
    """(height, width) of an image as `read_image` gives it, from its header unless `decode`."""
    if decode:
        height, width, _ = read_image(path).shape
        return height, width
    with open_image(path) as image:
        orientation = 1
        # Pillow would decode a whole PNG in search of EXIF that its header has not announced.
        if "exif" in image.info:
            with suppress(Exception):  # a damaged EXIF block is ignored, as `read_image` ignores it
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return (image.width, image.height) if orientation in (5, 6, 7, 8) else (image.height, image.width)
