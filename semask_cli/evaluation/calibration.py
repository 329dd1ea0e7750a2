"""Calibration of a model's scores: calibration error, reliability diagram, risk-coverage curve.

The confidence of a pixel is the merged score of its class. For a Semantic-FPN it is a probability: the softmax,
averaged over the views. For a mask classifier (MaskFormer, Mask2Former) it is the sum over queries of class probability
times mask probability, which is not a probability and is clipped at 1.

Expected calibration error (Guo et al., On Calibration of Modern Neural Networks, 2017) uses 15 bins of equal width. The
risk-coverage curve and the area under it (AURC; Geifman and El-Yaniv, 2017) give the share of wrong pixels among the
most confident ones. Both are computed from histograms of constant size: the bins of the error are split in four, and
the last one ever finer towards 1, where most pixels are. Pixels of one bin count as equally confident, which changes
AURC by one or two percent of itself.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import IGNORE

BINS = 15
"""Of the calibration error and the reliability diagram, of equal width."""

_PARTS = 4  # of each bin but the last, in the histograms
_HALVINGS = 16  # of the last bin, towards 1
ONE = 2**16
"""Confidences are summed as integers in units of 1 / ONE, so that sums do not depend on the order of images."""

EDGES = np.concatenate(
    [np.arange(1, (BINS - 1) * _PARTS + 1) / (BINS * _PARTS), 1 - 2.0 ** -np.arange(1, _HALVINGS + 1) / BINS]
)
"""The edges between the bins of the histograms."""

_BIN_OF = np.minimum(np.arange(len(EDGES) + 1) // _PARTS, BINS - 1)  # the error's bin of each histogram bin


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Pixels with confidence `low` to `high`: their share of all, mean confidence and accuracy, in percent."""

    low: float
    high: float
    share: float
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskAt:
    """The share of wrong pixels (`risk`) among the `coverage` most confident ones, in percent."""

    coverage: float
    risk: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCalibration:
    """Figures in percent of the pixels predicted as a class; None if there are none."""

    name: str
    ece: float | None
    aurc: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Expected calibration error and AURC in percent, with their curves. `score` describes what a score is."""

    score: str
    ece: float | None
    aurc: float | None
    reliability: tuple[ReliabilityBin, ...]
    risk_coverage: tuple[RiskAt, ...]
    classes: tuple[ClassCalibration, ...]


def confidence_counts(
    labels: NDArray[np.uint8], predicted: NDArray[np.uint8], confidence: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Rows (n, 5) of predicted class, histogram bin, pixels, correct pixels, and sum of confidence in 1 / ONE.

    `labels` and `predicted` (H, W) are class indices or IGNORE, `confidence` (H, W) the scores of the predicted
    classes, at least 0. Empty bins have no row.
    """
    counted = (labels != IGNORE) & (predicted != IGNORE)
    classes, scores = predicted[counted], np.minimum(confidence[counted], 1)
    bins = np.searchsorted(EDGES.astype(np.float32), scores, "right")
    cells = classes.astype(np.int64) * (len(EDGES) + 1) + bins
    length = IGNORE * (len(EDGES) + 1)
    # These integers are exact in float64.
    weights = (None, labels[counted] == classes, np.round(scores * ONE))
    sums = np.stack([np.bincount(cells, weights=each, minlength=length) for each in weights])
    filled = np.flatnonzero(sums[0])
    return np.column_stack([*np.divmod(filled, len(EDGES) + 1), *sums[:, filled]]).astype(np.int64)


def packed(rows: NDArray[np.int64]) -> str:
    """Rows of `confidence_counts` as compressed text, a twentieth of their size as JSON numbers."""
    return base64.b64encode(zlib.compress(rows.astype("<i8").tobytes())).decode()


def unpacked(text: str, classes: int) -> NDArray[np.int64]:
    """The rows (n, 5) in a text by `packed`; none for an empty text.

    Raises:
        ValueError: the text is invalid, or has impossible counts.
    """
    decompressor, most = zlib.decompressobj(), 40 * classes * (len(EDGES) + 1)
    try:
        data = decompressor.decompress(base64.b64decode(text, validate=True), most)
        rows = np.frombuffer(data, "<i8").reshape(-1, 5).astype(np.int64)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    index, bin_, pixels, right, confidence = rows.T
    sound = (
        (decompressor.eof and not decompressor.unused_data)
        and len(np.unique(rows[:, :2], axis=0)) == len(rows)
        and (rows >= 0).all()
        and (index < classes).all()
        and (bin_ <= len(EDGES)).all()
        and (right <= pixels).all()
        and (pixels < 2**40).all()
        and (confidence <= pixels * ONE).all()
    )
    if not sound:
        raise ValueError("rows with impossible counts")
    return rows


def calibration(rows: Iterable[NDArray[np.int64]], names: tuple[str, ...], score: str) -> Calibration:
    """The calibration from all images' `confidence_counts`, for the classes `names`."""
    histograms = np.zeros((len(names), len(EDGES) + 1, 3), np.int64)
    for image in rows:
        histograms[image[:, 0], image[:, 1]] += image[:, 2:]  # each image has a class and bin at most once
    whole = histograms.sum(axis=0)
    return Calibration(
        score=score,
        ece=expected_calibration_error(whole),
        aurc=area_under_risk_coverage(whole),
        reliability=_reliability(whole),
        risk_coverage=_risk_coverage(whole),
        classes=tuple(
            ClassCalibration(
                name=name, ece=expected_calibration_error(histogram), aurc=area_under_risk_coverage(histogram)
            )
            for name, histogram in zip(names, histograms, strict=True)
        ),
    )


def expected_calibration_error(histogram: NDArray[np.int64]) -> float | None:
    """In percent, from (bins, 3): pixels, correct pixels, sum of confidence in 1 / ONE. None without pixels."""
    pixels, right, confidence = _merged(histogram).T
    total = int(pixels.sum())
    return float(100 * np.abs(right - confidence / ONE).sum() / total) if total else None


def area_under_risk_coverage(histogram: NDArray[np.int64]) -> float | None:
    """AURC in percent, from (bins, 3) as above; the mean over all orders of pixels within a bin."""
    pixels, right = histogram[::-1, 0], histogram[::-1, 1]
    kept = pixels > 0
    n, wrong = pixels[kept].astype(np.float64), (pixels - right)[kept].astype(np.float64)
    if not len(n):
        return None
    before, wrong_before = np.cumsum(n) - n, np.cumsum(wrong) - wrong
    # The integral of (wrong_before + wrong t) / (before + n t) over t from 0 to 1, times n.
    slope = wrong / n
    logarithm = np.log1p(np.divide(n, before, out=np.zeros_like(n), where=before > 0))
    areas = wrong + (wrong_before - slope * before) * logarithm
    return float(100 * areas.sum() / n.sum())


def _merged(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """The histogram, merged into the bins of the error (BINS, 3)."""
    merged = np.zeros((BINS, 3), np.int64)
    np.add.at(merged, _BIN_OF, histogram)
    return merged


def _reliability(histogram: NDArray[np.int64]) -> tuple[ReliabilityBin, ...]:
    total = max(1, int(histogram[:, 0].sum()))
    return tuple(
        ReliabilityBin(
            low=100 * index / BINS,
            high=100 * (index + 1) / BINS,
            share=100 * pixels / total,
            confidence=100 * confidence / ONE / pixels if pixels else None,
            accuracy=100 * right / pixels if pixels else None,
        )
        for index, (pixels, right, confidence) in enumerate(_merged(histogram).tolist())
    )


def _risk_coverage(histogram: NDArray[np.int64]) -> tuple[RiskAt, ...]:
    """One point per non-empty bin, from the most confident on."""
    pixels, right = np.cumsum(histogram[::-1, 0]), np.cumsum(histogram[::-1, 1])
    points = [(p, r) for p, r, n in zip(pixels.tolist(), right.tolist(), histogram[::-1, 0], strict=True) if n]
    return tuple(RiskAt(coverage=100 * p / points[-1][0], risk=100 * (p - r) / p) for p, r in points)
