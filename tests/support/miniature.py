"""Miniature folders of the published datasets, in every layout that users have, with planted predictions.

Labels are blocks of classes with ignored speckles; a planted prediction agrees with them on about six pixels in ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from semask_cli.datasets import IGNORE, LabelEncoding, classes, find_dataset, read_labels
from tests.support.filled import labels


@dataclass(frozen=True, kw_only=True)
class Miniature:
    """A layout as the toolchains document it: the paths of image and label for an id, and how the label is encoded."""

    image: str
    label: str
    encoding: str
    instances: str = ""
    listed: str = ""


MINIATURES = {
    "ade20k": {
        "annotations": Miniature(
            image="images/validation/{id}.jpg", label="annotations/validation/{id}.png", encoding="reduce-zero"
        ),
        "annotations_detectron2": Miniature(
            image="images/validation/{id}.jpg", label="annotations_detectron2/validation/{id}.png", encoding="trainIds"
        ),
    },
    "cityscapes": {
        "labelTrainIds": Miniature(
            image="leftImg8bit/val/{id}_leftImg8bit.png",
            label="gtFine/val/{id}_gtFine_labelTrainIds.png",
            instances="gtFine/val/{id}_gtFine_instanceIds.png",
            encoding="trainIds",
        ),
        "labelIds": Miniature(
            image="leftImg8bit/val/{id}_leftImg8bit.png",
            label="gtFine/val/{id}_gtFine_labelIds.png",
            instances="gtFine/val/{id}_gtFine_instanceIds.png",
            encoding="labelIds",
        ),
    },
    "coco-stuff10k": {
        "mmseg": Miniature(
            image="images/test2014/{id}.jpg",
            label="annotations/test2014/{id}_labelTrainIds.png",
            encoding="reduce-zero",
        ),
        "detectron2": Miniature(
            image="images_detectron2/test/{id}.jpg", label="annotations_detectron2/test/{id}.png", encoding="trainIds"
        ),
        "original": Miniature(
            image="images/{id}.jpg", label="annotations/{id}.mat", encoding="mat", listed="imageLists/test.txt"
        ),
    },
    "pascal-context59": {
        "VOC2010": Miniature(
            image="JPEGImages/{id}.jpg",
            label="SegmentationClassContext/{id}.png",
            encoding="reduce-zero",
            listed="ImageSets/SegmentationContext/val.txt",
        ),
    },
    "pascal-voc2012": {
        "VOC2012": Miniature(
            image="JPEGImages/{id}.jpg",
            label="SegmentationClass/{id}.png",
            encoding="trainIds",
            listed="ImageSets/Segmentation/val.txt",
        ),
    },
}
EVERY_LAYOUT = [(name, layout) for name, layouts in MINIATURES.items() for layout in layouts]

SIZES = ((48, 64), (37, 53), (64, 40), (50, 50), (41, 67), (56, 44))


def prediction(truth: NDArray[np.uint8], count: int, seed: int) -> NDArray[np.uint8]:
    """Class indices that agree with `truth` on about six pixels in ten."""
    rng = np.random.RandomState(seed)
    other = labels(*truth.shape, count, seed=seed + 1000, ignore=None)
    return np.where((rng.random_sample(truth.shape) < 0.6) & (truth != IGNORE), truth, other).astype(np.uint8)


def encode(truth: NDArray[np.uint8], encoding: LabelEncoding) -> NDArray[np.uint8]:
    """The pixel values that stand for class indices in `encoding`."""
    values = np.full(256, int(np.flatnonzero(encoding.table == IGNORE)[0]), np.uint8)
    for value in np.flatnonzero((encoding.table >= 0) & (encoding.table != IGNORE)):
        values[encoding.table[value]] = value
    return values[truth]


def write(root: Path, name: str, layout: str, *, count: int = 4) -> dict[str, NDArray[np.uint8]]:
    """Write `count` images and labels of the evaluated split as `root` (the dataset's own folder).

    Returns the labels (class indices) by image id.
    """
    class_set, paths = classes(name), MINIATURES[name][layout]
    truth = {key: labels(*SIZES[i % len(SIZES)], len(class_set), seed=i) for i, key in enumerate(ids(name, count))}
    for seed, (key, truth_map) in enumerate(truth.items()):
        noise = np.random.RandomState(seed).randint(0, 256, (*truth_map.shape, 3))
        save(root / paths.image.format(id=key), noise.astype(np.uint8))
        save(root / paths.label.format(id=key), encode(truth_map, class_set.encodings[paths.encoding]))
        if paths.instances:
            save(root / paths.instances.format(id=key), instances(truth_map, seed))
    if paths.listed:
        (root / paths.listed).parent.mkdir(parents=True, exist_ok=True)
        (root / paths.listed).write_text("\n".join(truth) + "\n")
    return truth


def plant(folder: Path, name: str, layout: str, count: int = 6) -> tuple[Path, Path]:
    """Write a miniature dataset and predictions for it below `folder`: (the dataset's folder, the folder of masks)."""
    root, masks = folder / name, folder / f"masks-{name}"
    write(root, name, layout, count=count)
    dataset = find_dataset(name, root=root)
    for seed, sample in enumerate(dataset.samples):
        assert sample.label is not None
        predicted = prediction(read_labels(sample.label, dataset.encoding), len(dataset.classes), seed)
        save_palette(masks / f"{sample.id}.png", predicted, dataset.classes.palette)
    return root, masks


def ids(name: str, count: int) -> list[str]:
    """Image ids of the form that the dataset's own have."""
    cities = ("frankfurt", "lindau", "munster")
    forms = {
        "ade20k": "ADE_val_{number:08d}",
        "cityscapes": "{city}/{city}_000000_{number:06d}",
        "coco-stuff10k": "COCO_train2014_{number:012d}",
        "pascal-context59": "2008_{number:06d}",
        "pascal-voc2012": "2007_{number:06d}",
    }
    first = 0 if name == "cityscapes" else 1
    return sorted(forms[name].format(number=n, city=cities[n % 3]) for n in range(first, first + count))


def instances(truth: NDArray[np.uint8], seed: int) -> NDArray[np.int32]:
    """Cityscapes' instance ids (H, W): label id x 1000 + number for things, in two numbers each, else the label id."""
    label_ids = encode(truth, classes("cityscapes").encodings["labelIds"]).astype(np.int32)
    number = labels(*truth.shape, 2, seed=seed + 77, ignore=None)
    return np.where(label_ids >= 24, label_ids * 1000 + number, label_ids).astype(np.int32)


def save(path: Path, values: NDArray[np.integer]) -> None:
    """Write a mask or image as its suffix says; int32 becomes a 16-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mat":
        savemat(path, {"S": values})
    else:
        Image.fromarray(values.astype(np.uint16) if values.dtype == np.int32 else values).save(path)


def save_palette(path: Path, values: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write class indices as a palette PNG."""
    image = Image.fromarray(values)
    image.putpalette(palette.tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
