"""The layouts in which a dataset's files lie on disk, mmseg's and detectron2's, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An image and the files that belong to it; `label` is None where the dataset has none (yet).

    `id` is its path below the split's folder without the suffix: "frankfurt/frankfurt_000000_000294".
    `instances` is Cityscapes' instanceIds file, when every image has one.
    """

    id: str
    image: Path
    label: Path | None = None
    instances: Path | None = None

    @property
    def name(self) -> str:
        """The last part of the id, which no other image of a published dataset has."""
        return self.id.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Folders and suffixes below a dataset's root. `splits` gives the layout's word for each split, put at {split}.

    `listed` is a text file that names the images of the split, where the folders hold several splits.
    """

    name: str
    splits: Mapping[str, str]
    images: str
    labels: str
    image_suffix: str
    label_suffix: str
    coding: str
    instance_suffix: str = ""
    listed: str = ""

    def find(self, root: Path, split: str) -> tuple[list[Sample], list[Path]]:
        """Images and orphaned labels of `split` below `root`; none where the folders are not this layout."""
        word = self.splits[split]
        images = files_below(root / self.images.format(split=word), self.image_suffix)
        label_folder = root / self.labels.format(split=word)
        labels = files_below(label_folder, self.label_suffix)
        instances = files_below(label_folder, self.instance_suffix) if self.instance_suffix else {}
        if self.listed:
            wanted = _listed(root / self.listed.format(split=word))
            images, labels = ({i: f for i, f in found.items() if i in wanted} for found in (images, labels))
        if not images.keys() <= instances.keys():
            instances = {}  # from some images alone, scores of instances would be wrong
        samples = [Sample(id=i, image=f, label=labels.get(i), instances=instances.get(i)) for i, f in images.items()]
        return samples, [file for key, file in labels.items() if key not in images]


_ADE20K = {"train": "training", "val": "validation", "test": "testing"}
_CITYSCAPES = {"train": "train", "val": "val", "test": "test"}
_COCO_STUFF = {"train": "train", "test": "test"}
_COCO_STUFF_MMSEG = {"train": "train2014", "test": "test2014"}


def _ade20k(labels: str, *, coding: str, images: str = "images/{split}") -> Layout:
    return Layout(
        name=labels,
        splits=_ADE20K,
        images=images,
        labels=f"{labels}/{{split}}",
        image_suffix=".jpg",
        label_suffix=".png",
        coding=coding,
    )


def _cityscapes(coding: str, *, label_suffix: str) -> Layout:
    return Layout(
        name=f"gtFine {coding}",
        splits=_CITYSCAPES,
        images="leftImg8bit/{split}",
        labels="gtFine/{split}",
        image_suffix="_leftImg8bit.png",
        label_suffix=label_suffix,
        instance_suffix="_gtFine_instanceIds.png",
        coding=coding,
    )


def _coco_stuff_mmseg(label_suffix: str) -> Layout:
    return Layout(
        name="mmseg",
        splits=_COCO_STUFF_MMSEG,
        images="images/{split}",
        labels="annotations/{split}",
        image_suffix=".jpg",
        label_suffix=label_suffix,
        coding="reduce-zero",
    )


# Between layouts that find equally many pairs the first wins.
LAYOUTS: Mapping[str, tuple[Layout, ...]] = {
    "ade20k": (
        _ade20k("annotations", coding="reduce-zero"),
        _ade20k("annotations_detectron2", coding="trainIds"),
        _ade20k("annotations", coding="reduce-zero", images="release_test/{split}"),
    ),
    "cityscapes": (
        _cityscapes("trainIds", label_suffix="_gtFine_labelTrainIds.png"),
        _cityscapes("labelIds", label_suffix="_gtFine_labelIds.png"),
    ),
    "coco-stuff10k": (
        # mmseg's converter once named the labels of the test split without the suffix.
        _coco_stuff_mmseg("_labelTrainIds.png"),
        _coco_stuff_mmseg(".png"),
        Layout(
            name="detectron2",
            splits=_COCO_STUFF,
            images="images_detectron2/{split}",
            labels="annotations_detectron2/{split}",
            image_suffix=".jpg",
            label_suffix=".png",
            coding="trainIds",
        ),
        Layout(
            name="original",
            splits=_COCO_STUFF,
            images="images",
            labels="annotations",
            image_suffix=".jpg",
            label_suffix=".mat",
            coding="mat",
            listed="imageLists/{split}.txt",
        ),
    ),
}

# Where each dataset lies below a folder of datasets: by itself, in mmseg's data/, in $DETECTRON2_DATASETS.
FOLDERS = {
    "ade20k": (".", "ADEChallengeData2016", "ade/ADEChallengeData2016"),
    "cityscapes": (".", "cityscapes"),
    "coco-stuff10k": (".", "coco_stuff10k", "coco/coco_stuff_10k", "coco_stuff_10k"),
}

EVALUATED_SPLIT = {"ade20k": "val", "cityscapes": "val", "coco-stuff10k": "test"}

PUBLISHED_SIZES = {
    "ade20k": {"train": 20210, "val": 2000, "test": 3352},
    "cityscapes": {"train": 2975, "val": 500, "test": 1525},
    "coco-stuff10k": {"train": 9000, "test": 1000},
}
"""How many images each split has as published."""


def files_below(folder: Path, suffix: str = "") -> dict[str, Path]:
    """The files below `folder` that end in `suffix`, by their relative path without it, sorted."""
    found = (file for file in folder.rglob(f"*{suffix}") if file.is_file() and file.name[0] != ".")
    return dict(sorted((file.relative_to(folder).as_posix().removesuffix(suffix), file) for file in found))


def _listed(file: Path) -> frozenset[str]:
    return frozenset(file.read_text(encoding="utf-8").split()) if file.exists() else frozenset()
