"""The counts of one image, as stored in a journal and sent between machines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semask_cli.evaluation.boundaries import SIZES, Rows
from semask_cli.evaluation.calibration import unpacked
from semask_cli.evaluation.metrics import Counts

MAX_COUNT = 2**33
"""Limit of the counts in a record: more than an image has; sums over a million images are exact in float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A labelled object: its class index, and its pixels: all, predicted as its class, and as any of its category."""

    label: int
    pixels: int
    right: int
    right_category: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The counts of one image: `nonzero_counts` are entries of its confusion matrix as (label, prediction, pixels).

    `files` is the digest of all files that it depends on, `image` that of the image file. `labels` and `predicted` are
    digests of class indices, independent of a file's encoding; `labels` is empty without a label. `boundaries` and
    `objects` are the counts of `evaluation.boundaries`, `confidence` the packed ones of `evaluation.calibration`, if
    requested.
    """

    id: str
    files: str
    image: str
    labels: str
    predicted: str
    nonzero_counts: tuple[tuple[int, int, int], ...]
    instances: tuple[Instance, ...] = ()
    boundaries: Rows = ()
    objects: Rows = ()
    confidence: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields of a journal line."""
        return {
            "id": self.id,
            "files": self.files,
            "image": self.image,
            "labels": self.labels,
            "predicted": self.predicted,
            "cells": self.nonzero_counts,
            "instances": [(i.label, i.pixels, i.right, i.right_category) for i in self.instances],
            "boundaries": self.boundaries,
            "objects": self.objects,
            "confidence": self.confidence,
        }

    def counts(self, classes: int) -> Counts:
        """The confusion matrix (classes, classes + 1)."""
        counts = np.zeros((classes, classes + 1), np.int64)
        for row, column, pixels in self.nonzero_counts:
            counts[row, column] = pixels
        return counts


def nonzero_counts(counts: Counts) -> tuple[tuple[int, int, int], ...]:
    """The nonzero entries of a confusion matrix as (row, column, pixels)."""
    rows, columns = np.nonzero(counts)
    return tuple(zip(rows.tolist(), columns.tolist(), counts[rows, columns].tolist(), strict=True))


def parsed_record(fields: Mapping[str, Any], classes: int) -> Record | None:
    """The record of a journal line; None if it is invalid."""
    try:
        record = Record(
            id=_text(fields["id"]),
            files=_text(fields["files"]),
            image=_text(fields["image"]),
            labels=_text(fields["labels"]),
            predicted=_text(fields["predicted"]),
            nonzero_counts=tuple(
                (_number(row, classes), _number(column, classes + 1), _number(pixels, MAX_COUNT))
                for row, column, pixels in fields["cells"]
            ),
            instances=tuple(
                Instance(
                    label=_number(label, classes),
                    pixels=_number(pixels, MAX_COUNT),
                    right=_number(right, pixels + 1),
                    right_category=_number(right_category, pixels + 1),
                )
                for label, pixels, right, right_category in fields["instances"]
            ),
            boundaries=_rows(fields["boundaries"], (classes, *[MAX_COUNT] * 3)),
            confidence=_confidence(fields["confidence"], classes),
            objects=_rows(fields["objects"], (classes, len(SIZES), *[MAX_COUNT] * 4)),
        )
        return record if all(instance.pixels for instance in record.instances) else None
    except (KeyError, TypeError, ValueError):
        return None


def _confidence(value: Any, classes: int) -> str:
    """Validated packed rows."""
    text = _text(value)
    if text:
        unpacked(text, classes)
    return text


def _rows(value: Any, limits: tuple[int, ...]) -> Rows:
    """Validated rows of numbers, each below the limit of its column."""
    return tuple(tuple(_number(n, limit) for n, limit in zip(row, limits, strict=True)) for row in value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return value


def _number(value: Any, limit: int) -> int:
    if type(value) is not int or not 0 <= value < limit:
        raise ValueError(f"{value!r} is not one of 0 to {limit - 1}")
    return value


def labels_digest(labels: NDArray[np.uint8]) -> str:
    """SHA-256 of class indices (H, W) uint8."""
    return hashlib.sha256(repr(labels.shape).encode() + labels.tobytes()).hexdigest()
