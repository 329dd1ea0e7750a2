"""Finding a dataset on disk: a published one below a root, or two folders of the user."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from semask_cli.datasets.class_set import ClassSet, LabelEncoding, classes
from semask_cli.datasets.samples import Sample, files_below, find_samples
from semask_cli.datasets.spec import CLASS_INDICES, DatasetSpec, dataset_spec
from semask_cli.errors import DatasetError, UsageError
from semask_cli.io.image_formats import is_image_path

ROOT_VARIABLES = ("SEMASK_DATA", "DETECTRON2_DATASETS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One split of a dataset on disk: its samples, sorted by id, and the label files without an image (`orphans`).

    `split` is empty for the user's own folders. `encoding` is that of the label files. `listed` is the file that lists
    the split's images, in layouts that have one.
    """

    name: str
    split: str
    root: Path
    layout: str
    classes: ClassSet
    encoding: LabelEncoding
    samples: tuple[Sample, ...]
    orphans: tuple[Path, ...] = ()
    listed: Path | None = None

    @property
    def unlabelled(self) -> tuple[Sample, ...]:
        """The samples without a label file."""
        return tuple(sample for sample in self.samples if sample.label is None)

    @property
    def spec(self) -> DatasetSpec | None:
        """The facts about the published dataset whose classes these are; None for the user's own classes."""
        return self.classes.spec

    @property
    def published_images(self) -> int:
        """The published number of images in the split; 0 for the user's own folders."""
        return self.spec.splits.get(self.split, 0) if self.spec else 0


def find_dataset(
    name: str, *, root: str | os.PathLike[str] | None = None, split: str | None = None, encoding: str | None = None
) -> Dataset:
    """Find a published dataset below `root`, else below $SEMASK_DATA or $DETECTRON2_DATASETS.

    `split` defaults to the one of the published figures; `encoding` overrides the one that the layout implies. Of
    several layouts, the one with the most image-label pairs is taken.

    Raises:
        UsageError: an unknown dataset, split or encoding, or no root named.
        DatasetError: no image found; the message lists the folders searched.
    """
    spec = dataset_spec(name)
    split = split or spec.evaluated_split
    if split not in spec.splits:
        raise UsageError(f"{spec.name} has no split {split!r}", f"Its splits: {', '.join(spec.splits)}.")
    folders = [base / place for base in _roots(root, name=spec.name) for place in spec.places]
    found = [(folder, layout, *find_samples(folder, layout, split)) for folder in folders for layout in spec.layouts]
    folder, layout, samples, orphans = max(found, key=lambda f: (sum(s.label is not None for s in f[2]), len(f[2])))
    if not samples:
        searched = [f"  {folder / layout.path(layout.images, split)}" for folder, layout, *_ in found]
        raise DatasetError(
            f"no images of {spec.name}, split {split}",
            "\n".join(["Looked in", *dict.fromkeys(searched), f"{spec.title} comes from {spec.home}"]),
        )
    class_set = classes(spec.name)
    return Dataset(
        name=spec.name,
        split=split,
        root=folder,
        layout=layout.name,
        classes=class_set,
        encoding=class_set.encoding(encoding or layout.encoding),
        samples=tuple(samples),
        orphans=tuple(orphans),
        listed=folder / layout.path(layout.listed, split) if layout.listed else None,
    )


def folder_dataset(images: Path, labels: Path | None, classes: ClassSet, *, encoding: str = CLASS_INDICES) -> Dataset:
    """A dataset of the user's own folders: an image and its label PNG have the same relative path without suffix.

    Raises:
        UsageError: an unknown encoding.
        DatasetError: no image in `images`, or two that differ only in the suffix.
    """
    by_id: dict[str, Path] = {}
    for path in sorted(filter(is_image_path, files_below(images).values())):
        key = path.relative_to(images).with_suffix("").as_posix()
        if key in by_id:
            raise DatasetError(f"{by_id[key]} and {path} would share a label file", "Rename one of them.")
        by_id[key] = path
    if not by_id:
        raise DatasetError(f"no images in {images}")
    files = files_below(labels, ".png") if labels else {}
    return Dataset(
        name=classes.name,
        split="",
        root=images,
        layout="folders",
        classes=classes,
        encoding=classes.encoding(encoding),
        samples=tuple(Sample(id=key, image=by_id[key], label=files.get(key)) for key in sorted(by_id)),
        orphans=tuple(file for key, file in files.items() if key not in by_id),
    )


def as_dataset(
    dataset: Dataset | str, *, root: str | os.PathLike[str] | None = None, split: str | None = None
) -> Dataset:
    """`dataset` itself, or the published one of that name.

    Raises:
        UsageError: another type, or `root` or `split` given with a Dataset; otherwise as `find_dataset`.
    """
    if isinstance(dataset, str):
        return find_dataset(dataset, root=root, split=split)
    if not isinstance(dataset, Dataset):
        raise UsageError(f"a dataset is a name or a Dataset, not {type(dataset).__name__}", "It is the first argument.")
    if root or split:
        raise UsageError("root and split go with a dataset's name, not with a Dataset")
    return dataset


def _roots(root: str | os.PathLike[str] | None, *, name: str) -> list[Path]:
    roots = [root] if root else [os.environ[variable] for variable in ROOT_VARIABLES if os.environ.get(variable)]
    if not roots:
        raise UsageError(f"the folder of {name} is not given", f"Give --root, or set {' or '.join(ROOT_VARIABLES)}.")
    return [Path(folder) for folder in roots]
