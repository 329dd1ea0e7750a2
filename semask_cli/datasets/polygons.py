"""Label files of Cityscapes' annotation tool: named polygons, drawn over each other.

Drawn as by cityscapesScripts (github.com/mcordts/cityscapesScripts, preparation/json2labelImg.py): with Pillow, in file
order. A group ("cargroup") gets its members' label. Deleted polygons are skipped, and labels with a negative number,
such as license plates, leave what is below them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from semask_cli.errors import DatasetError
from semask_cli.io.images import MAX_PIXELS
from semask_cli.io.regular import read_regular

_GROUP = "group"  # ends the label of several objects in one polygon
_MAX_BYTES = 64 << 20  # a hundred times the largest published file
_FAR = 1e6  # pixels from the origin
_AGAIN = "Copy it again from the download."


def read_polygons(path: Path, names: Mapping[str, int]) -> NDArray[np.uint8]:
    """The polygons of a file as (H, W) uint8, with the values of their labels in `names`; 0 without a polygon.

    Raises:
        DatasetError: the file is missing, damaged or of another format, or has an unknown label.
    """
    with _document(path) as document:
        height, width = _size(document)
        labels = Image.new("L", (width, height))
        draw = ImageDraw.Draw(labels)
        for drawn in document["objects"]:
            number = _number(drawn["label"], names)
            if number >= 0 and not drawn.get("deleted"):
                draw.polygon([(_coordinate(x), _coordinate(y)) for x, y in drawn["polygon"]], fill=number)
        return np.array(labels)


def polygons_size(path: Path) -> tuple[int, int]:
    """(height, width) of the image that the polygons annotate. Raises as `read_polygons`."""
    with _document(path) as document:
        return _size(document)


@contextmanager
def _document(path: Path) -> Iterator[Any]:
    """The content of a file; errors become a DatasetError that names it."""
    try:
        yield json.loads(read_regular(path, limit=_MAX_BYTES))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}", _AGAIN) from error
    except ValueError as error:
        raise DatasetError(f"cannot read {path}: {error!s:.200}", _AGAIN) from error
    except (KeyError, TypeError, AttributeError, MemoryError, RecursionError) as error:
        raise DatasetError(f"cannot read {path}: {error!r:.200}", _AGAIN) from error


def _size(document: Any) -> tuple[int, int]:
    height, width = document["imgHeight"], document["imgWidth"]
    if not (type(height) is type(width) is int and height > 0 < width and height * width <= MAX_PIXELS):
        raise ValueError(f"an image of {width} x {height}")
    return height, width


def _number(label: str, names: Mapping[str, int]) -> int:
    known = label if label in names else label.removesuffix(_GROUP)
    if known not in names:
        raise ValueError(f"the label {label} is unknown")
    return names[known]


def _coordinate(value: float) -> float:
    if isinstance(value, bool) or not math.fabs(value) <= _FAR:
        raise ValueError(f"a corner at {value}")
    return value
