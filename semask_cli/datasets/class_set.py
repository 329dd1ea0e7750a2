"""The classes of a dataset: names, colours, and the encodings of its label files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets.spec import CLASS_INDICES, IGNORE, DatasetSpec, EncodingSpec, dataset_spec
from semask_cli.errors import DatasetError, UsageError, printable
from semask_cli.io.read_only import read_only
from semask_cli.io.regular import read_regular

INVALID = -1
"""In the table of an encoding: a value that is neither a class nor ignored."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelEncoding:
    """How label files store classes: `table` (256,) int16 maps a value to its class index, IGNORE or INVALID.

    `names` maps the labels of polygon files to values.
    """

    name: str
    table: NDArray[np.int16]
    names: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassSet:
    """The classes of a dataset: K `classes`, their `palette` (K, 3) uint8 RGB, and the encodings of its label files.

    Palettes repeat colours (two classes of ADE20K share one), so a colour does not identify a class. `spec` has the
    other facts about a published dataset; it is None for the user's own classes, which come from `file`.
    """

    name: str
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    encodings: Mapping[str, LabelEncoding]
    spec: DatasetSpec | None = None
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def hex_colours(self) -> tuple[str, ...]:
        """The colour of each class as "#rrggbb"."""
        return tuple("#{:02x}{:02x}{:02x}".format(*colour) for colour in self.palette.tolist())

    @property
    def instance_encoding(self) -> LabelEncoding:
        """The encoding of the labels within instance ids, for datasets with instances."""
        assert self.spec is not None
        assert self.spec.instances is not None  # or there would be no instance file
        return self.encodings[self.spec.instances.encoding]

    def encoding(self, name: str) -> LabelEncoding:
        """The encoding called `name`.

        Raises:
            UsageError: these classes have no such encoding.
        """
        if name not in self.encodings:
            raise UsageError(f"{self.name} has no label coding {name!r}", f"It has {', '.join(self.encodings)}.")
        return self.encodings[name]


@cache
def classes(name: str) -> ClassSet:
    """The classes of a published dataset, by the name of its file in specs/.

    Raises:
        UsageError: an unknown dataset; the message lists those that exist.
    """
    spec = dataset_spec(name)
    return _class_set(spec.name, list(spec.classes.items()), spec.encodings, spec=spec)


def read_classes(path: Path) -> ClassSet:
    """Read the user's own classes: one per line, "name" or "name,red,green,blue" (0 to 255), by index.

    Empty lines and lines that begin with "#" are skipped; a class without a colour gets one.

    Raises:
        DatasetError: the file cannot be read, has no class, more than 255, a duplicate, or an invalid line.
    """
    try:
        lines = [line.strip() for line in read_regular(path).decode("utf-8-sig").splitlines()]
    except OSError as error:
        raise DatasetError(f"cannot read the classes in {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"cannot read the classes in {path}: it is not UTF-8 text") from error
    rows = [_name_and_colour(path, line) for line in lines if line and not line.startswith("#")]
    if not 1 <= len(rows) <= IGNORE:
        raise DatasetError(f"{path} names {len(rows)} classes", f"Write 1 to {IGNORE} classes, one per line.")
    names = [name for name, _ in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DatasetError(f"{path} names {printable(twice[0])} twice", "A surplus line shifts all classes after it.")
    colours = _distinct_colours(len(rows))
    named = [(name, colour or colours[index]) for index, (name, colour) in enumerate(rows)]
    encodings = {CLASS_INDICES: EncodingSpec(values=tuple(range(len(rows))))}
    if len(rows) < IGNORE:
        encodings["reduce-zero"] = EncodingSpec(values=tuple(range(1, len(rows) + 1)), ignored=(0,))
    return _class_set(path.stem, named, encodings, file=path)


def _name_and_colour(path: Path, line: str) -> tuple[str, Colour | None]:
    name, *colour = (part.strip() for part in line.split(","))
    if not colour:
        return name, None
    if len(colour) != 3 or not all(part.isdecimal() and len(part) <= 3 and int(part) < 256 for part in colour):
        raise DatasetError(
            f"{path}: cannot read the line {printable(line)!r}", "Write: name, or name,red,green,blue (0 to 255)."
        )
    red, green, blue = map(int, colour)
    return name, (red, green, blue)


def _class_set(
    name: str,
    classes: Sequence[tuple[str, Colour]],
    encodings: Mapping[str, EncodingSpec],
    *,
    spec: DatasetSpec | None = None,
    file: Path | None = None,
) -> ClassSet:
    palette = np.array([colour for _, colour in classes], np.uint8)
    palette.setflags(write=False)
    return ClassSet(
        name=name,
        classes=tuple(name for name, _ in classes),
        palette=palette,
        encodings=read_only(
            {key: LabelEncoding(name=key, table=_table(e), names=e.names) for key, e in encodings.items()}
        ),
        spec=spec,
        file=file,
    )


def _table(encoding: EncodingSpec) -> NDArray[np.int16]:
    """The class index, IGNORE or INVALID of each value a file may hold (256,)."""
    table = np.full(256, INVALID, np.int16)
    table[[*encoding.ignored, IGNORE]] = IGNORE
    table[list(encoding.values)] = np.arange(len(encoding.values))
    table.setflags(write=False)
    return table


def _distinct_colours(count: int) -> list[Colour]:
    """Distinct colours: the bits of the index go to the high bits of red, green and blue in turn."""

    def channel(index: int, offset: int) -> int:
        return sum(((index >> (3 * bit + offset)) & 1) << (7 - bit) for bit in range(3))

    return [(channel(index, 0), channel(index, 1), channel(index, 2)) for index in range(1, count + 1)]
