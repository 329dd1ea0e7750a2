"""The share of an image that each class covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_STRIP = 2**22
"""Pixels counted at a time: np.bincount needs eight bytes for each."""

_SHORT_RUN = 16
"""Mean run length in pixels, below which counting runs costs more than it saves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassShare:
    """One class of an image: its `share` of all pixels, 0 to 1, and their mean score, if scores were kept."""

    index: int
    name: str
    colour: tuple[int, int, int]
    pixels: int
    share: float
    mean_confidence: float | None = None


def class_shares(
    labels: NDArray[np.uint8],
    classes: Sequence[str],
    palette: NDArray[np.uint8],
    *,
    confidence: NDArray[np.float32] | None = None,
) -> tuple[ClassShare, ...]:
    """The classes in `labels` (H, W), largest first; pixels of no class (255, ignored) count only in the total.

    `palette` is (K, 3) RGB, `confidence` (H, W) the score of each pixel's class.
    """
    pixels = _sums(labels)
    scores = None if confidence is None else _sums(labels, confidence)
    shares = [
        ClassShare(
            index=index,
            name=classes[index],
            colour=tuple(palette[index].tolist()),
            pixels=int(pixels[index]),
            share=float(pixels[index] / labels.size),
            mean_confidence=None if scores is None else float(scores[index] / pixels[index]),
        )
        for index in np.flatnonzero(pixels[: len(classes)]).tolist()
    ]
    return tuple(sorted(shares, key=lambda share: -share.pixels))


def _sums(labels: NDArray[np.uint8], weights: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
    """Pixels of each label value, or the sum of their `weights`: (256,), exact up to 2^53 pixels."""
    sums = np.zeros(256)
    flat, flat_weights = labels.ravel(), None if weights is None else weights.ravel()
    for start in range(0, flat.size, _STRIP):
        strip = flat[start : start + _STRIP]
        if flat_weights is None:
            sums += _counts(strip)
        else:
            sums += np.bincount(strip, weights=flat_weights[start : start + _STRIP], minlength=256)
    return sums


def _counts(labels: NDArray[np.uint8]) -> NDArray[Any]:
    """Pixels of each label value in a strip (N,). Long runs of one value are counted as runs.

    A histogram is slow on equal neighbours: each increment waits for the one before.
    """
    borders = labels[1:] != labels[:-1]
    if np.count_nonzero(borders) * _SHORT_RUN > len(labels):
        return cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()  # in float32, exact up to 2^24
    starts = np.concatenate(([0], np.flatnonzero(borders) + 1))
    return np.bincount(labels[starts], weights=np.diff(starts, append=len(labels)), minlength=256)
