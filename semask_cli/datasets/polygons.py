"""Label files of Cityscapes' annotation tool: named polygons, drawn one over the other.

As cityscapesScripts draws them (github.com/mcordts/cityscapesScripts, preparation/json2labelImg.py): with Pillow, in
the order of the file; a group ("cargroup") is of its members' label, deleted polygons are left out, and so are labels
with a number below 0, such as license plates, under which the car stays.
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
from semask_cli.io.regular import open_regular

_GROUP = "group"  # ends the label of several objects in one polygon
_MAX_BYTES = 64 << 20  # a hundred times the largest published file
_FAR = 1e6  # pixels from the origin
_AGAIN = "Copy it again from the download."


def read_polygons(path: Path, names: Mapping[str, int]) -> NDArray[np.uint8]:
    """The numbers (H, W) that `names` gives the labels of a polygons.json file; 0 where there is no polygon.

    Raises:
        DatasetError: the file is missing, damaged or of another kind, or names a label that is unknown.
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
    """(height, width) of the image that a file's polygons are of. Raises as `read_polygons`."""
    with _document(path) as document:
        return _size(document)


@contextmanager
def _document(path: Path) -> Iterator[Any]:
    """The content of a file. What is wrong with it becomes a DatasetError that names the file."""
    try:
        with open_regular(path) as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES} bytes")
        yield json.loads(content)
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
