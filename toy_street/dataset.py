"""toy-street on disk: as two folders, and in Cityscapes' layout, so that whatever reads Cityscapes reads it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semask_cli.datasets import classes
from semask_cli.io.files import write_atomically
from toy_street.scene import render

ImageFormat = Literal["png", "jpeg"]


def write_folders(folder: Path, seeds: Iterable[int], *, image_format: ImageFormat = "png") -> None:
    """Render the scenes of `seeds` into `folder`/images and `folder`/labels (PNG, train ids), and name the classes.

    The classes stand in `folder`/toy-street.txt, a line each: name,red,green,blue. A JPEG takes a fifth of the bytes of
    a PNG, and changes each pixel a little.

    Raises:
        OutputError: a file cannot be written.
    """
    class_set = classes("cityscapes")
    named = zip(class_set.classes, class_set.palette, strict=True)
    lines = (",".join(map(str, (name, *colour))) for name, colour in named)
    write_atomically(folder / "toy-street.txt", "".join(f"{line}\n" for line in lines).encode())
    for seed in seeds:
        scene = render(seed)
        if image_format == "jpeg":
            _write_jpeg(folder / "images" / f"{seed}.jpg", scene.image)
        else:
            _write_png(folder / "images" / f"{seed}.png", scene.image[:, :, ::-1])
        _write_png(folder / "labels" / f"{seed}.png", scene.labels)


def write_cityscapes(folder: Path, seeds: Iterable[int], *, split: str = "val") -> None:
    """Render the scenes of `seeds` into `folder`/leftImg8bit/`split`/toy and `folder`/gtFine/`split`/toy.

    Labels are written in both encodings: train ids (255 ignored) and Cityscapes' label ids (0, «unlabeled»).

    Raises:
        OutputError: a file cannot be written.
    """
    for seed in seeds:
        scene, name = render(seed), f"{split}/toy/toy_{seed:06d}_000000"
        _write_png(folder / "leftImg8bit" / f"{name}_leftImg8bit.png", scene.image[:, :, ::-1])
        _write_png(folder / "gtFine" / f"{name}_gtFine_labelTrainIds.png", scene.labels)
        _write_png(folder / "gtFine" / f"{name}_gtFine_labelIds.png", _label_ids()[scene.labels])


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    write_atomically(path, cv2.imencode(".png", pixels)[1].tobytes())


def _write_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90, subsampling=0, optimize=True)
    write_atomically(path, buffer.getvalue())


@cache
def _label_ids() -> NDArray[np.uint8]:
    """Cityscapes' label id of each train id (256,)."""
    table = classes("cityscapes").codings["labelIds"].table
    ids = np.zeros(256, np.uint8)
    for train_id in range(len(classes("cityscapes"))):
        ids[train_id] = np.flatnonzero(table == train_id)[0]
    return ids
