"""Reading label files and masks: pixel values as they stand in the file, and the class indices that they mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semask_cli.datasets.class_set import INVALID, LabelEncoding
from semask_cli.errors import DatasetError

_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B")


class ColourMaskError(DatasetError):
    """A mask of colours where one of values is needed: colours repeat, so they do not name classes."""

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(
            f"{path} is a colour image ({mode}), not a mask of class indices",
            "Palettes repeat colours, so colours cannot be read back. Write one channel: grey or palette PNG.",
        )


class LabelValueError(DatasetError):
    """A mask with `values` that its encoding does not have."""

    def __init__(self, path: Path, encoding: LabelEncoding, values: tuple[int, ...]) -> None:
        shown = ", ".join(map(str, values[:5])) + (", …" if len(values) > 5 else "")
        super().__init__(
            f"{path} holds {shown}, which {encoding.name} does not have", "`semask check` looks for the reason."
        )
        self.values = values


def read_labels(path: Path, encoding: LabelEncoding) -> NDArray[np.uint8]:
    """The class index of each pixel (H, W), IGNORE where there is none.

    Raises:
        LabelValueError: a value that is no class and not ignored; it is never counted as something else.
        DatasetError: as `read_values`.
    """
    values = read_values(path)
    if values.min(initial=0) < 0 or values.max(initial=0) > 255:
        outside = values[(values < 0) | (values > 255)]
        raise LabelValueError(path, encoding, tuple(np.unique(outside).tolist()))
    labels = encoding.table[values]
    if labels.min(initial=0) == INVALID:
        raise LabelValueError(path, encoding, tuple(np.unique(values[labels == INVALID]).tolist()))
    return labels.astype(np.uint8)


def read_values(path: Path) -> NDArray[np.integer]:
    """The pixel values (H, W) of a grey or palette PNG (8 or 16 bit), or of the array `S` of a .mat file.

    Raises:
        ColourMaskError: the image has several channels.
        DatasetError: the file is missing, damaged or of another kind.
    """
    if path.suffix == ".mat":
        return _mat_values(path)
    with _opened(path) as file:
        values = np.array(file)
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def mask_size(path: Path) -> tuple[int, int]:
    """(height, width) of a label file, from its header where it has one. Raises as `read_values`."""
    if path.suffix == ".mat":
        height, width = _mat_values(path).shape
        return height, width
    with _opened(path) as file:
        return file.height, file.width


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as file:
            if file.mode not in _ONE_CHANNEL:
                raise ColourMaskError(path, file.mode)
            yield file
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"cannot read {path}: {error}", "Copy it again from the download.") from error


def _mat_values(path: Path) -> NDArray[np.integer]:
    from scipy.io import loadmat  # type: ignore[import-untyped]

    try:
        values = loadmat(path, variable_names=["S"])["S"]
    except NotImplementedError as error:
        raise DatasetError(
            f"{path} is a label file of COCO-Stuff 10k version 1.0",
            "The published models are evaluated on version 1.1: download its annotations.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"cannot read {path}: {error}", "Copy it again from the download.") from error
    return np.asarray(values)
