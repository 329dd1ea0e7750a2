"""A dataset as data: specs/NAME.toml, read into a frozen `DatasetSpec` and validated.

The files in specs/ are the only place for facts about a dataset; a dataset exists if it has one. Reading them needs no
numpy, so that the command line starts fast.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from semask_cli.errors import DatasetError, UsageError
from semask_cli.io.read_only import read_only

SPECS = Path(__file__).parent / "specs"

IGNORE = 255
"""The label of pixels that are not counted."""

CLASS_INDICES = "trainIds"
"""The encoding that every dataset has: a class is stored as its index, from 0."""

Definition = Literal["mmseg", "detectron2", "cityscapes"]
"""The definitions of mIoU, explained in `evaluation.metrics`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingSpec:
    """How label files store classes: class i as `values[i]`; `ignored` values, like 255, stand for no class.

    The TOML file may give `first` instead of consecutive `values`. `names` are the values of polygon labels; those with
    -1 are not drawn.
    """

    values: tuple[int, ...]
    ignored: tuple[int, ...] = ()
    names: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Folders and suffixes below a dataset's root; {split} is replaced by `split_folders[split]`, or the split's name.

    `listed` is a text file with the ids of the split's images, if folders hold several splits. `encoding` is that of
    the label files, `instance_suffix` the suffix of the instance id files beside them.
    """

    name: str
    images: str
    labels: str
    image_suffix: str
    label_suffix: str
    encoding: str
    split_folders: Mapping[str, str] = field(default_factory=dict)
    instance_suffix: str = ""
    listed: str = ""

    def path(self, template: str, split: str) -> str:
        """`template` (one of `images`, `labels`, `listed`) for a split."""
        return template.format(split=self.split_folders.get(split, split))


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSpec:
    """Instance id files: an id is a label in `encoding` x 1000 + the number of the object in its image.

    `mean_pixels` is the mean size of an instance, by class, by which iIoU weighs them.
    """

    encoding: str
    mean_pixels: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """Groups of dependent images, such as the frames of one drive: their ids share a prefix.

    `pattern` is a regular expression for that prefix, `unit` the word for a group.
    """

    unit: str
    pattern: str

    def cluster(self, image_id: str) -> str:
        """The cluster of an image; one that does not match the pattern is its own cluster."""
        match = re.match(self.pattern, image_id)
        return match[0] if match else image_id


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """All facts about a published dataset. `name` is that of its file; `title` and `home` are for messages.

    `places` are the folders below a root in which the dataset may lie; of layouts that find equally many image-label
    pairs, the first is taken. `splits` has the published number of images of each split; published figures are for
    `evaluated_split`. `classes` are names and RGB colours (0 to 255), by class index. `encodings` are those of label
    files. `definition` is the default definition of mIoU for masks of other programs. `server_encoding` is the
    encoding of the benchmark's server; empty without a server. `unlabelled_everywhere`: nearly every image has
    unlabelled pixels. `categories` are groups of classes with their own IoU, `instances` describes instance id files.
    """

    name: str
    title: str
    home: str
    definition: Definition
    places: tuple[str, ...]
    splits: Mapping[str, int]
    evaluated_split: str
    layouts: tuple[Layout, ...]
    classes: Mapping[str, tuple[int, int, int]]
    encodings: Mapping[str, EncodingSpec]
    server_encoding: str = ""
    unlabelled_everywhere: bool = False
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    instances: InstanceSpec | None = None
    clusters: ClusterSpec | None = None


def dataset_names() -> tuple[str, ...]:
    """The published datasets, in alphabetical order."""
    return tuple(sorted(file.stem for file in SPECS.glob("*.toml")))


def dataset_name(name: str) -> str:
    """The canonical name of a dataset: "COCO_Stuff10k" is "coco-stuff10k".

    Raises:
        UsageError: an unknown dataset; the message lists all.
    """
    canonical = name.lower().replace("_", "-")
    if canonical not in dataset_names():
        raise UsageError(f"there is no dataset {name!r}", f"Known datasets: {', '.join(dataset_names())}.")
    return canonical


@cache
def dataset_spec(name: str) -> DatasetSpec:
    """The published dataset called `name`, in any spelling that `dataset_name` accepts.

    Raises:
        UsageError: an unknown dataset.
        DatasetError: its file lacks a key, or has an unknown key or value; the message names it.
    """
    name = dataset_name(name)
    return read_spec(SPECS / f"{name}.toml")


def read_spec(path: Path) -> DatasetSpec:
    """The dataset that a TOML file describes. Raises as `dataset_spec`."""
    try:
        return _dataset(path.stem, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # TOML and UTF-8 errors are ValueErrors
        raise DatasetError(f"{path}: {error}", "semask_cli/datasets/spec.py explains the keys.") from error


def _dataset(name: str, document: dict[str, Any]) -> DatasetSpec:
    _check_keys(
        document,
        required={
            "title": str,
            "home": str,
            "definition": str,
            "places": list,
            "splits": dict,
            "evaluated_split": str,
            "layouts": list,
            "classes": dict,
        },
        optional={
            "encodings": dict,
            "server_encoding": str,
            "unlabelled_everywhere": bool,
            "categories": dict,
            "instances": dict,
            "clusters": dict,
        },
        table=name,
    )
    classes = {key: _colour(key, value) for key, value in document.pop("classes").items()}
    if not 1 <= len(classes) <= IGNORE:
        raise ValueError(f"{len(classes)} classes, where 1 to {IGNORE} are possible")
    encodings = {CLASS_INDICES: EncodingSpec(values=tuple(range(len(classes))))}
    for key, table in document.pop("encodings", {}).items():
        encodings[key] = _encoding(key, table, len(classes))
    layouts = tuple(_layout(table) for table in document.pop("layouts"))
    categories = {key: tuple(members) for key, members in document.pop("categories", {}).items()}
    instances = _instances(document.pop("instances")) if "instances" in document else None
    clusters = _clusters(document.pop("clusters")) if "clusters" in document else None
    spec = DatasetSpec(
        name=name,
        classes=read_only(classes),
        encodings=read_only(encodings),
        layouts=layouts,
        places=tuple(document.pop("places")),
        splits=read_only(document.pop("splits")),
        categories=read_only(categories),
        instances=instances,
        clusters=clusters,
        **document,
    )
    _check_references(spec)
    return spec


def _colour(name: str, value: Any) -> tuple[int, int, int]:
    if not (isinstance(value, list) and len(value) == 3 and all(type(n) is int and 0 <= n <= 255 for n in value)):
        raise ValueError(f"the colour of class {name!r} is {value!r}, not [red, green, blue] of 0 to 255")
    return (value[0], value[1], value[2])


def _encoding(name: str, table: dict[str, Any], classes: int) -> EncodingSpec:
    kinds = {"first": int, "values": list, "ignored": list, "names": dict}
    _check_keys(table, optional=kinds, table=f"encodings.{name}")
    if ("first" in table) == ("values" in table):
        raise ValueError(f"encodings.{name} needs one of the keys 'first' and 'values'")
    values = tuple(table["values"]) if "values" in table else tuple(range(table["first"], table["first"] + classes))
    ignored = tuple(table.get("ignored", ()))
    if len(values) != classes:
        raise ValueError(f"encodings.{name} has {len(values)} values for {classes} classes")
    used: set[int] = {IGNORE}
    for value in (*values, *ignored):
        if type(value) is not int or not 0 <= value < IGNORE or value in used:
            raise ValueError(f"encodings.{name} has the value {value!r} twice, or it is not one of 0 to {IGNORE - 1}")
        used.add(value)
    names = table.get("names", {})
    if wrong := [label for label, value in names.items() if type(value) is not int or value not in used | {-1}]:
        raise ValueError(f"the name {wrong[0]!r} of encodings.{name} has the value {names[wrong[0]]!r}, which is none")
    return EncodingSpec(values=values, ignored=ignored, names=names)


def _layout(table: dict[str, Any]) -> Layout:
    required = ("name", "images", "labels", "image_suffix", "label_suffix", "encoding")
    _check_keys(
        table,
        required=dict.fromkeys(required, str),
        optional={"split_folders": dict, "instance_suffix": str, "listed": str},
        table="layouts",
    )
    return Layout(**table)


def _instances(table: dict[str, Any]) -> InstanceSpec:
    _check_keys(table, required={"encoding": str, "mean_pixels": dict}, table="instances")
    return InstanceSpec(encoding=table["encoding"], mean_pixels=read_only(table["mean_pixels"]))


def _clusters(table: dict[str, Any]) -> ClusterSpec:
    _check_keys(table, required={"unit": str, "pattern": str}, table="clusters")
    try:
        re.compile(table["pattern"])
    except re.error as error:
        raise ValueError(f"the pattern {table['pattern']!r} of clusters: {error}") from error
    return ClusterSpec(**table)


def _check_keys(
    values: Mapping[str, Any],
    *,
    required: Mapping[str, type] = read_only({}),
    optional: Mapping[str, type] = read_only({}),
    table: str,
) -> None:
    for key in required.keys() - values.keys():
        raise ValueError(f"{table} lacks the key {key!r}")
    for key, value in values.items():
        kind = required.get(key) or optional.get(key)
        if kind is None:
            raise ValueError(f"{table} has an unknown key {key!r}")
        if type(value) is not kind:
            raise ValueError(f"{key} of {table} is {value!r}, not a {kind.__name__}")


def _check_references(spec: DatasetSpec) -> None:
    """Check that every name that the spec refers to exists."""
    _check_names("definition", [spec.definition], get_args(Definition))
    _check_names("evaluated_split", [spec.evaluated_split], spec.splits)
    _check_names("server_encoding", filter(None, [spec.server_encoding]), spec.encodings)
    for layout in spec.layouts:
        _check_names(f"encoding of layout {layout.name}", [layout.encoding], spec.encodings)
        _check_names(f"split of layout {layout.name}", layout.split_folders, spec.splits)
    for category, members in spec.categories.items():
        _check_names(f"class of category {category}", members, spec.classes)
    if spec.instances:
        _check_names("encoding of instances", [spec.instances.encoding], spec.encodings)
        _check_names("class of instances", spec.instances.mean_pixels, spec.classes)


def _check_names(what: str, names: Iterable[str], existing: Iterable[str]) -> None:
    existing = tuple(existing)
    for name in names:
        if name not in existing:
            raise ValueError(f"unknown {what} {name!r}: there are {', '.join(existing)}")
