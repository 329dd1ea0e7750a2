"""Bootstrap confidence intervals: how a figure would vary with other images of the same kind.

Images are drawn with replacement, as many as there are, and the figure is computed from the sums of their pixel counts;
the middle 95 % of many such figures are its interval (Efron and Tibshirani, An Introduction to the Bootstrap, 1993). If
images come in clusters (such as the frames of one drive), clusters are drawn instead of images.

Two intervals are computed. The percentile interval is the one shown. The BCa interval (bias-corrected and accelerated;
Efron 1987, equations 2.3 and 6.6) is better for skewed figures in theory. On simulated datasets with known truth it was
not: with classes that occur in few images, the percentile interval of mIoU held the truth in 90 to 91 % of datasets of
200 and 500 images, and BCa in 89 to 90 % (`python -m benchmarks.cpu.coverage`). For a class in few images both are too
narrow: what was never observed cannot be drawn.

All figures are functions of sums over images, so the sums of many resamples are one matrix product with the weights
(how often each cluster was drawn). Counts are integers below 2^53, whose sums are exact: equal records give equal
intervals, to the last bit, on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from semask_cli.evaluation.metrics import ClassTotals, metrics

RESAMPLES = 10_000
SEED = 20_211_223
CONFIDENCE = 95.0
"""Confidence level of all intervals, in percent."""

MIN_CLUSTERS = 10
"""With fewer clusters, or fewer that have a class, no interval is computed: it would be unreliable."""

_NORMAL = NormalDist()
_ENTRIES = 2**21  # in a block of weights or sums: 16 MiB

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From the sums (R, C) of R resamples to their figures (R, F), nan if undefined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The percentile interval and the BCa interval, in the unit of the figure."""

    low: float
    high: float
    bca_low: float
    bca_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """The intervals of an evaluation's figures, in percent, and their parameters.

    `unit` is what was drawn, "image" or the dataset's kind of cluster, and `clusters` the number of units.
    """

    method: str
    confidence: float
    resamples: int
    seed: int
    unit: str
    clusters: int
    miou: Interval
    macc: Interval
    aacc: Interval
    fwiou: Interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bootstrap:
    """Figures (F,) of the data itself, of R resamples (R, F), and with each of G clusters left out (G, F)."""

    estimates: NDArray[np.float64]
    replicates: NDArray[np.float64]
    left_out: NDArray[np.float64]

    def interval(self, index: int) -> Interval | None:
        """The interval of a figure; None if it is undefined for the data, or without one of the clusters."""
        estimate, left_out = self.estimates[index], self.left_out[:, index]
        values = np.sort(self.replicates[:, index])
        values = values[: len(values) - np.isnan(values).sum()]
        if np.isnan(estimate) or np.isnan(left_out).any() or not len(values):
            return None
        tail = (1 - CONFIDENCE / 100) / 2
        levels = (tail, 1 - tail)
        bounds = np.quantile(values, [*levels, *_bca_levels(estimate, values, left_out, levels)])
        low, high, bca_low, bca_high = bounds.tolist()
        return Interval(low=low, high=high, bca_low=bca_low, bca_high=bca_high)


def bootstrap(
    sums: NDArray[np.int64], statistic: Statistic, *, resamples: int = RESAMPLES, seed: int = SEED
) -> Bootstrap:
    """Resample the G clusters of `sums` (G, C).

    Works in blocks of resamples: memory is that of `sums` and the figures, never that of all weights.
    """
    clusters = len(sums)
    values = sums.astype(np.float64)
    total = values.sum(axis=0, keepdims=True)
    generator = np.random.default_rng(seed)

    def replicates(count: int) -> NDArray[np.float64]:
        return statistic(_draw(generator, count, clusters) @ values)

    step = max(1, _ENTRIES // max(sums.shape))
    return Bootstrap(
        estimates=statistic(total)[0],
        replicates=np.concatenate([replicates(min(step, resamples - done)) for done in range(0, resamples, step)]),
        left_out=np.concatenate([statistic(total - values[at : at + step]) for at in range(0, clusters, step)]),
    )


def cluster_sums(values: NDArray[np.int64], clusters: Sequence[str]) -> NDArray[np.int64]:
    """The sums (G, C) of `values` (N, C) by cluster; `clusters` has the names of the N images' clusters."""
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.zeros((index.max(initial=-1) + 1, values.shape[1]), np.int64)
    np.add.at(sums, index, values)
    return sums


def figures_of(sums: NDArray[np.float64], definition: str) -> NDArray[np.float64]:
    """mIoU, mAcc, aAcc, fwIoU and each class's IoU (R, 4 + K), in percent, of stacked totals (R, 3 K)."""
    found = metrics(ClassTotals.unstacked(sums), definition)
    return np.column_stack([found.miou, found.macc, found.aacc, found.fwiou, found.iou])


def intervals(
    totals: ClassTotals, clusters: Sequence[str], definition: str, *, unit: str = "image"
) -> tuple[Intervals | None, tuple[Interval | None, ...]]:
    """The intervals of the means, and of each class's IoU, from the totals (N, K) of N images.

    `clusters` has the name of each image's cluster. None with fewer than MIN_CLUSTERS clusters, or fewer that have the
    class.
    """
    sums = cluster_sums(totals.stacked(), clusters)
    labelled = ClassTotals.unstacked(sums).labelled
    if np.count_nonzero(labelled.any(axis=1)) < MIN_CLUSTERS:
        return None, (None,) * labelled.shape[1]
    drawn = bootstrap(sums, lambda resampled: figures_of(resampled, definition))
    miou, macc, aacc, fwiou = filter(None, map(drawn.interval, range(4)))
    return Intervals(
        method="percentile bootstrap",
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        seed=SEED,
        unit=unit,
        clusters=len(sums),
        miou=miou,
        macc=macc,
        aacc=aacc,
        fwiou=fwiou,
    ), tuple(
        drawn.interval(4 + index) if having >= MIN_CLUSTERS else None
        for index, having in enumerate(clusters_with_class(sums))
    )


def clusters_with_class(sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of clusters of stacked totals (G, 3 K) in which each class is labelled or predicted (K,)."""
    totals = ClassTotals.unstacked(sums)
    return np.count_nonzero(totals.labelled + totals.predicted, axis=0)


def _draw(generator: np.random.Generator, count: int, clusters: int) -> NDArray[np.float64]:
    """The number of times each cluster is drawn in each of `count` resamples (count, clusters)."""
    drawn = generator.integers(0, clusters, (count, clusters), dtype=np.int32)
    drawn += np.arange(0, count * clusters, clusters, dtype=np.int32)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * clusters).reshape(count, clusters).astype(np.float64)


def _bca_levels(
    estimate: float, values: NDArray[np.float64], left_out: NDArray[np.float64], levels: Sequence[float]
) -> list[float]:
    """The quantile levels of the sorted replicates `values` for a BCa interval with `levels`."""
    below, up_to = np.searchsorted(values, estimate, "left"), np.searchsorted(values, estimate, "right")
    share = (below + up_to) / 2 / len(values)  # ties count half
    bias = _NORMAL.inv_cdf(min(max(share, 0.5 / len(values)), 1 - 0.5 / len(values)))
    differences = left_out.mean() - left_out
    spread = np.sum(differences**2)
    acceleration = np.sum(differences**3) / (6 * spread**1.5) if spread > 0 else 0.0
    shifted = [bias + _NORMAL.inv_cdf(level) for level in levels]
    return [_NORMAL.cdf(bias + shift / (1 - acceleration * shift)) for shift in shifted]
