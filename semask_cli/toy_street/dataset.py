"""toy-street as a folder in Cityscapes' layout, so that whatever reads Cityscapes reads it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semask_cli.datasets import classes
from semask_cli.toy_street.scene import render


def write_dataset(
    folder: Path, seeds: Iterable[int], *, split: str = "val", height: int = 256, width: int = 512
) -> None:
    """Render the scenes of `seeds` into `folder`/leftImg8bit/`split`/toy and `folder`/gtFine/`split`/toy.

    Labels are written in both codings: train ids (255 ignored) and Cityscapes' label ids (0, «unlabeled»).

    Raises:
        OSError: a file cannot be written.
    """
    images, labels = folder / "leftImg8bit" / split / "toy", folder / "gtFine" / split / "toy"
    for place in (images, labels):
        place.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        name, scene = f"toy_{seed:06d}_000000", render(seed, height=height, width=width)
        Image.fromarray(scene.image).save(images / f"{name}_leftImg8bit.png")
        Image.fromarray(scene.labels).save(labels / f"{name}_gtFine_labelTrainIds.png")
        Image.fromarray(_label_ids()[scene.labels]).save(labels / f"{name}_gtFine_labelIds.png")


@cache
def _label_ids() -> NDArray[np.uint8]:
    """Cityscapes' label id of each train id (256,)."""
    ids = np.zeros(256, np.uint8)
    for label_id, train_id in enumerate(classes("cityscapes").codings["labelIds"].table[:34]):
        if 0 <= train_id < 255:
            ids[train_id] = label_id
    return ids
