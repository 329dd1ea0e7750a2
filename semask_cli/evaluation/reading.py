"""Reading evaluations from JSON. A file may be damaged or untrusted, and its text goes into HTML pages."""

from __future__ import annotations

import json
import os
import re
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from semask_cli.errors import UsageError
from semask_cli.evaluation.metrics import DEFINITIONS
from semask_cli.evaluation.records import MAX_COUNT
from semask_cli.evaluation.results import JSON_KEYS, SCHEMA_VERSION, Evaluation
from semask_cli.evaluation.schema import MAX_PERCENT
from semask_cli.io.regular import read_regular

_COLOUR = re.compile("#[0-9a-f]{6}")


def evaluation_file(path: Path) -> Path:
    """The file of an evaluation, which may be in the folder of a report."""
    return path / "evaluation.json" if os.path.isdir(path) else path


def read_evaluation(path: Path) -> Evaluation:
    """The evaluation in a file that `semask eval --json` wrote, or in the folder of a report.

    Raises:
        UsageError: it is another file, of another version, or damaged.
    """
    path = evaluation_file(path)
    try:
        return _evaluation(json.loads(read_regular(path), parse_constant=_refuse_constant))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{path} is not the JSON of an evaluation", "Write one: semask eval … --json > FILE"
        ) from error


def _evaluation(document: dict[str, Any]) -> Evaluation:
    if document.pop("schema_version") != SCHEMA_VERSION or document.pop("kind") != "evaluation":
        raise ValueError("another kind or version")
    for field, key in JSON_KEYS.items():
        document[field] = document.pop(key)
    evaluation = _parsed(document, Evaluation)
    if evaluation.definition not in DEFINITIONS or evaluation.miou_by_definition.keys() != DEFINITIONS.keys():
        raise ValueError("another set of definitions")
    for result in evaluation.classes:
        if not _COLOUR.fullmatch(result.colour):
            raise ValueError(f"{result.colour!r} is not a colour")
    if [len(row) for row in evaluation.confusion] != [len(evaluation.classes) + 1] * len(evaluation.classes):
        raise ValueError("another shape of the confusion matrix")
    for image in evaluation.image_results:
        _check_totals(image.totals, len(evaluation.classes))
    if len({image.id for image in evaluation.image_results}) < len(evaluation.image_results):
        raise ValueError("an image counted twice")
    settings = evaluation.settings
    for value in settings.values():
        _check_setting(value)
    if (settings.get("dataset"), settings.get("split")) != (evaluation.dataset, evaluation.split):
        raise ValueError("settings of another dataset")
    if not all(type(settings.get(key, "")) is str for key in ("masks", "mask_coding")):
        raise ValueError("masks without a name")
    return evaluation


def _parsed(value: Any, kind: Any) -> Any:
    """Parse a JSON value as `kind`, the type of a field of Evaluation.

    Raises:
        ValueError: it has another type, is negative, or is a float (a percentage) above 100.
    """
    if kind is Any:
        return value
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        types_of = get_type_hints(kind)
        if value.keys() != {field.name for field in fields(kind)}:
            raise ValueError(f"other keys than those of {kind.__name__}")
        return kind(**{key: _parsed(item, types_of[key]) for key, item in value.items()})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _parsed(value, arguments[0])
    if origin is tuple and isinstance(value, list):
        return tuple(_parsed(item, arguments[0]) for item in value)
    if origin is dict and isinstance(value, dict):
        return {key: _parsed(item, arguments[1]) for key, item in value.items()}
    if kind is float and type(value) in (int, float) and 0 <= value <= MAX_PERCENT:
        return float(value)
    if (kind is int and type(value) is int and value >= 0) or (kind is str and type(value) is str):
        return value
    raise ValueError(f"{value!r} is not a {kind}")


def _check_totals(totals: tuple[tuple[int, ...], ...], classes: int) -> None:
    """Check rows of (class index, pixels right, labelled, predicted), one per class."""
    for index, right, labelled, predicted in totals:
        if not (index < classes and right <= min(labelled, predicted) and max(labelled, predicted) < MAX_COUNT):
            raise ValueError(f"{(index, right, labelled, predicted)} cannot be counted")
    if len({row[0] for row in totals}) < len(totals):
        raise ValueError("a class counted twice")


def _check_setting(value: Any) -> None:
    """Check that a setting is a scalar, or a list or table of scalars."""
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, Mapping | list):
            raise ValueError("a setting within a setting")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
