"""Miniature folders of the three datasets, in every layout that users have, with planted predictions.

Labels are blocks of classes with ignored speckles; a planted prediction agrees with them on about six pixels in ten.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from semask_cli.datasets import IGNORE, Coding, classes
from tests.support.filled import labels

LAYOUTS = {
    "ade20k": ("annotations", "annotations_detectron2"),
    "cityscapes": ("labelTrainIds", "labelIds"),
    "coco-stuff10k": ("mmseg", "detectron2", "original"),
}
SIZES = ((48, 64), (37, 53), (64, 40), (50, 50), (41, 67), (56, 44))


def prediction(truth: NDArray[np.uint8], count: int, seed: int) -> NDArray[np.uint8]:
    """Class indices that agree with `truth` on about six pixels in ten."""
    rng = np.random.RandomState(seed)
    other = labels(*truth.shape, count, seed=seed + 1000, ignore=None)
    return np.where((rng.random_sample(truth.shape) < 0.6) & (truth != IGNORE), truth, other).astype(np.uint8)


def encode(truth: NDArray[np.uint8], coding: Coding) -> NDArray[np.uint8]:
    """The pixel values that stand for class indices in `coding`."""
    values = np.full(256, int(np.flatnonzero(coding.table == IGNORE)[0]), np.uint8)
    for value in np.flatnonzero((coding.table >= 0) & (coding.table != IGNORE)):
        values[coding.table[value]] = value
    return values[truth]


def write(root: Path, name: str, layout: str, *, count: int = 4) -> dict[str, NDArray[np.uint8]]:
    """Write `count` images and labels of the evaluated split as `root` (the dataset's own folder).

    Returns the labels (class indices) by image id.
    """
    ids = _ids(name, count)
    known = classes(name)
    truth = {key: labels(*SIZES[i % len(SIZES)], len(known), seed=i) for i, key in enumerate(ids)}
    for i, (key, truth_map) in enumerate(truth.items()):
        image, label, coding = _paths(root, name, layout, key)
        noise = np.random.RandomState(i).randint(0, 256, (*truth_map.shape, 3))
        save(image, noise.astype(np.uint8))
        save(label, encode(truth_map, known.codings[coding]))
        if name == "cityscapes":
            save(root / f"gtFine/val/{key}_gtFine_instanceIds.png", instances(truth_map, i))
    if layout == "original":
        (root / "imageLists").mkdir()
        (root / "imageLists/test.txt").write_text("\n".join(ids) + "\n")
    return truth


def instances(truth: NDArray[np.uint8], seed: int) -> NDArray[np.int32]:
    """Cityscapes' instance ids (H, W): label id x 1000 + number for things, in two numbers each, else the label id."""
    ids = encode(truth, classes("cityscapes").codings["labelIds"]).astype(np.int32)
    number = labels(*truth.shape, 2, seed=seed + 77, ignore=None)
    return np.where(ids >= 24, ids * 1000 + number, ids).astype(np.int32)


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


def _ids(name: str, count: int) -> list[str]:
    if name == "ade20k":
        return [f"ADE_val_{i:08d}" for i in range(1, count + 1)]
    if name == "cityscapes":
        cities = ("frankfurt", "lindau", "munster")
        return sorted(f"{cities[i % 3]}/{cities[i % 3]}_000000_{i:06d}" for i in range(count))
    return [f"COCO_train2014_{i:012d}" for i in range(77, 77 + count)]


def _paths(root: Path, name: str, layout: str, key: str) -> tuple[Path, Path, str]:
    """The image's file, its label file, and the coding of the latter."""
    if name == "ade20k":
        coding = "reduce-zero" if layout == "annotations" else "trainIds"
        return root / f"images/validation/{key}.jpg", root / f"{layout}/validation/{key}.png", coding
    if name == "cityscapes":
        coding = "labelIds" if layout == "labelIds" else "trainIds"
        return root / f"leftImg8bit/val/{key}_leftImg8bit.png", root / f"gtFine/val/{key}_gtFine_{layout}.png", coding
    if layout == "mmseg":
        label = root / f"annotations/test2014/{key}_labelTrainIds.png"
        return root / f"images/test2014/{key}.jpg", label, "reduce-zero"
    if layout == "detectron2":
        label = root / f"annotations_detectron2/test/{key}.png"
        return root / f"images_detectron2/test/{key}.jpg", label, "trainIds"
    return root / f"images/{key}.jpg", root / f"annotations/{key}.mat", "mat"
