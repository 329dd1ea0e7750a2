"""What the pixels of a dataset mean: class names, colours, and the codings in which its label files are written.

The names, colours and id tables of the three published datasets stand as data in the JSON files beside this one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semask_cli.errors import DatasetError
from semask_cli.io.resources import project_file
from semask_cli.zoo import dataset_name

IGNORE = 255
"""The label of a pixel that no metric counts."""

INVALID = -1
"""In a coding's table: a value that no file of this coding holds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coding:
    """How a label file writes classes: `table` (256,) int16 gives a value's class index, IGNORE or INVALID."""

    name: str
    table: NDArray[np.int16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassSet:
    """The classes of a dataset: K `classes`, their `palette` (K, 3) uint8 RGB, and the codings of its label files.

    Palettes repeat colours (two classes of ADE20K share one), so a colour does not name a class.
    """

    name: str
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    codings: Mapping[str, Coding]

    def __len__(self) -> int:
        return len(self.classes)


@cache
def classes(name: str) -> ClassSet:
    """The classes of a published dataset, by its name as in weights.toml.

    Raises:
        UsageError: an unknown dataset; the message lists the known ones.
    """
    name = dataset_name(name)
    document = json.loads(project_file(f"datasets/{name}.json").read_text(encoding="utf-8"))
    count = len(document["classes"])
    codings = {"trainIds": _coding(range(count))}
    if name == "cityscapes":
        codings["labelIds"] = _coding(document["label_ids"], ignored=range(document["label_id_count"]))
    else:
        codings["reduce-zero"] = _coding(range(1, count + 1), ignored=[0])
    if name == "coco-stuff10k":
        codings["mat"] = _coding(document["mat_ids"], ignored=[0])
    return _class_set(name, document["classes"], codings)


def read_classes(path: Path) -> ClassSet:
    """The user's own classes: one a line, "name" or "name,red,green,blue" (0 to 255), in the order of their indices.

    Lines that are empty or begin with "#" are skipped; a class without a colour gets one.

    Raises:
        DatasetError: the file cannot be read, names more than 255 classes or none, or holds a line of another form.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the classes in {path}: {error}") from error
    rows = [_row(path, line) for line in lines if line and not line.startswith("#")]
    if not 1 <= len(rows) <= IGNORE:
        raise DatasetError(f"{path} names {len(rows)} classes", f"One class a line, 1 to {IGNORE} of them.")
    colours = _distinct_colours(len(rows))
    rows = [row if len(row) == 4 else [*row, *colours[index]] for index, row in enumerate(rows)]
    codings = {"trainIds": _coding(range(len(rows)))}
    if len(rows) < IGNORE:
        codings["reduce-zero"] = _coding(range(1, len(rows) + 1), ignored=[0])
    return _class_set(path.stem, rows, codings)


def _row(path: Path, line: str) -> list[Any]:
    name, *colour = (part.strip() for part in line.split(","))
    if not colour:
        return [name]
    if len(colour) != 3 or not all(part.isdecimal() and int(part) < 256 for part in colour):
        raise DatasetError(f"{path}: cannot read the line {line!r}", "Write: name, or name,red,green,blue (0 to 255).")
    return [name, *map(int, colour)]


def _class_set(name: str, rows: Sequence[Sequence[Any]], codings: dict[str, NDArray[np.int16]]) -> ClassSet:
    palette = np.array([row[1:] for row in rows], np.uint8)
    palette.setflags(write=False)
    return ClassSet(
        name=name,
        classes=tuple(row[0] for row in rows),
        palette=palette,
        codings=MappingProxyType({key: Coding(name=key, table=table) for key, table in codings.items()}),
    )


def _coding(values: Sequence[int], *, ignored: Sequence[int] = ()) -> NDArray[np.int16]:
    """The table of the coding in which class i is written as `values[i]`; 255 is ignored in every coding."""
    table = np.full(256, INVALID, np.int16)
    table[[*ignored, IGNORE]] = IGNORE
    table[list(values)] = np.arange(len(values))
    table.setflags(write=False)
    return table


def _distinct_colours(count: int) -> list[tuple[int, int, int]]:
    """Colours that differ in the high bits first: the bits of the index dealt to red, green and blue in turn."""
    return [
        tuple(sum(((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)) for channel in range(3))  # type: ignore[misc]
        for index in range(1, count + 1)
    ]
