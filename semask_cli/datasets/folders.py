"""Finding a dataset on disk: a published one below a root, or any two folders of one's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from semask_cli.datasets.classes import ClassSet, Coding, classes
from semask_cli.datasets.layouts import EVALUATED_SPLIT, FOLDERS, LAYOUTS, Sample, files_below
from semask_cli.errors import DatasetError, UsageError
from semask_cli.io.images import is_image_path
from semask_cli.zoo import dataset_name

ROOT_VARIABLES = ("SEMASK_DATA", "DETECTRON2_DATASETS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One split of a dataset on disk: its images, sorted by id, and the label files without an image (`orphans`)."""

    name: str
    split: str
    root: Path
    layout: str
    classes: ClassSet
    coding: Coding
    samples: tuple[Sample, ...]
    orphans: tuple[Path, ...] = ()

    @property
    def unlabelled(self) -> tuple[Sample, ...]:
        """The images without a label file."""
        return tuple(sample for sample in self.samples if sample.label is None)


def find_dataset(
    name: str, *, root: Path | None = None, split: str | None = None, coding: str | None = None
) -> Dataset:
    """A published dataset below `root`, else below $SEMASK_DATA or $DETECTRON2_DATASETS.

    `split` is train, val or test (default: the one that the published figures are of); `coding` overrides the coding
    that the layout implies. Of several layouts the one with most image-label pairs is taken.

    Raises:
        UsageError: an unknown dataset, split or coding, or no root named.
        DatasetError: no image found; the message lists where was looked.
    """
    name = dataset_name(name)
    split = split or EVALUATED_SPLIT[name]
    layouts = [layout for layout in LAYOUTS[name] if split in layout.splits]
    if not layouts:
        raise UsageError(f"{name} has no split {split!r}", f"Its splits: {', '.join(LAYOUTS[name][0].splits)}.")
    folders = [base / folder for base in _roots(root) for folder in FOLDERS[name]]
    found = [(folder, layout, *layout.find(folder, split)) for folder in folders for layout in layouts]
    folder, layout, samples, orphans = max(found, key=lambda f: (sum(p.label is not None for p in f[2]), len(f[2])))
    if not samples:
        tried = "\n".join(f"  {f / t.images.format(split=t.splits[split])}" for f in folders for t in layouts)
        raise DatasetError(f"no images of {name}, split {split}", "Looked in\n" + tried)
    known = classes(name)
    return Dataset(
        name=name,
        split=split,
        root=folder,
        layout=layout.name,
        classes=known,
        coding=_chosen(known, coding or layout.coding),
        samples=tuple(samples),
        orphans=tuple(orphans),
    )


def folder_dataset(images: Path, labels: Path | None, classes: ClassSet, *, coding: str = "trainIds") -> Dataset:
    """Two folders of one's own: an image and its label (PNG) have the same path below them but for the suffix.

    Raises:
        UsageError: an unknown coding.
        DatasetError: no image in `images`, or two that differ in the suffix alone.
    """
    found: dict[str, Path] = {}
    for path in sorted(filter(is_image_path, files_below(images).values())):
        key = path.relative_to(images).with_suffix("").as_posix()
        if key in found:
            raise DatasetError(f"{found[key]} and {path} would share one label file", "Rename one of them.")
        found[key] = path
    if not found:
        raise DatasetError(f"no images in {images}")
    files = files_below(labels, ".png") if labels else {}
    return Dataset(
        name=classes.name,
        split="",
        root=images,
        layout="folders",
        classes=classes,
        coding=_chosen(classes, coding),
        samples=tuple(Sample(id=key, image=found[key], label=files.get(key)) for key in sorted(found)),
        orphans=tuple(file for key, file in files.items() if key not in found),
    )


def _roots(root: Path | None) -> list[Path]:
    roots = [root] if root else [Path(os.environ[name]) for name in ROOT_VARIABLES if os.environ.get(name)]
    if not roots:
        raise UsageError("where is the dataset?", f"Name its folder with --root, or set {' or '.join(ROOT_VARIABLES)}.")
    return roots


def _chosen(known: ClassSet, coding: str) -> Coding:
    if coding not in known.codings:
        raise UsageError(f"{known.name} has no coding {coding!r}", f"Its codings: {', '.join(known.codings)}.")
    return known.codings[coding]
