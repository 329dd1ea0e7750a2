"""The difference between two evaluations: its bootstrap interval, significance, and a sentence about it.

The bootstrap is paired: each resample draws the same images for both runs, so that what makes an image hard for both
cancels out. Runs that share no image are resampled independently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semask_cli.evaluation.intervals import (
    CONFIDENCE,
    MIN_CLUSTERS,
    SEED,
    Bootstrap,
    Interval,
    bootstrap,
    cluster_sums,
    clusters_with_class,
    figures_of,
)
from semask_cli.evaluation.results import Evaluation
from semask_cli.output.percentages import format_difference

_MEANS = ("miou", "macc", "aacc", "fwiou")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A figure of a run minus the baseline's, in percentage points; None if one of them is missing.

    `interval` is None if there are too few images. `other_sign` is the percentage of resamples in which the difference
    is zero or has the opposite sign.
    """

    value: float | None
    interval: Interval | None
    other_sign: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDifference:
    """The difference in the IoU of a class.

    `p` is twice the share of resamples of the opposite sign (a two-sided test), adjusted for the number of classes
    (Holm). `significant`: p < 0.05, so that in 95 % of comparisons no class is significant by chance.
    """

    name: str
    iou: Difference
    p: float | None
    significant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDifference:
    """A run against the baseline, on their shared `images`, or each on its own (`paired` is False).

    `sentence` describes the difference in mIoU. `clusters` is the number of drawn units, `unit` the word for them.
    """

    baseline: str
    run: str
    paired: bool
    images: int
    unit: str
    clusters: int
    sentence: str
    miou: Difference
    macc: Difference
    aacc: Difference
    fwiou: Difference
    classes: tuple[ClassDifference, ...]


def run_difference(names: tuple[str, str], baseline: Evaluation, run: Evaluation, definition: str) -> RunDifference:
    """`run` minus `baseline`, called `names` (baseline first), in one of metrics.DEFINITIONS."""
    shared = {result.id for result in baseline.image_results} & {result.id for result in run.image_results}
    paired = bool(shared)
    cluster_of = {result.id: result.cluster for result in (*run.image_results, *baseline.image_results)}
    sums = [_sums(evaluation, shared, cluster_of) for evaluation in (baseline, run)]
    drawn = _drawn(sums[0], sums[1], definition) if paired else _drawn_apart(sums[0], sums[1], definition)
    clusters = min(map(len, sums))
    miou, macc, aacc, fwiou = (_difference(drawn, index, clusters) for index in range(len(_MEANS)))
    images = len(shared) if paired else baseline.images + run.images
    return RunDifference(
        baseline=names[0],
        run=names[1],
        paired=paired,
        images=images,
        unit=baseline.cluster_unit,
        clusters=clusters,
        sentence=_sentence(names, miou, _measured_on(images, paired), too_few=f"{clusters} {baseline.cluster_unit}s"),
        miou=miou,
        macc=macc,
        aacc=aacc,
        fwiou=fwiou,
        classes=_class_differences([result.name for result in run.classes], drawn, sums),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for multiple comparisons, controlling the family-wise error rate (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()


def _sums(evaluation: Evaluation, shared: set[str], cluster_of: Mapping[str, str]) -> NDArray[np.int64]:
    """Totals by cluster (G, 3 K) of the `shared` images, or of all if none is shared."""
    ids = [result.id for result in evaluation.image_results]
    kept = [index for index, key in enumerate(ids) if not shared or key in shared]
    return cluster_sums(evaluation.totals().stacked()[kept], [cluster_of[ids[index]] for index in kept])


def _drawn(baseline: NDArray[np.int64], run: NDArray[np.int64], definition: str) -> Bootstrap:
    def differences(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        first, second = np.split(sums, 2, axis=1)
        return figures_of(second, definition) - figures_of(first, definition)

    return bootstrap(np.concatenate([baseline, run], axis=1), differences)


def _drawn_apart(baseline: NDArray[np.int64], run: NDArray[np.int64], definition: str) -> Bootstrap:
    first, second = (
        bootstrap(sums, lambda resampled: figures_of(resampled, definition), seed=seed)
        for sums, seed in ((baseline, SEED), (run, SEED + 1))
    )
    return Bootstrap(
        estimates=second.estimates - first.estimates,
        replicates=second.replicates - first.replicates,
        left_out=np.concatenate([second.estimates - first.left_out, second.left_out - first.estimates]),
    )


def _difference(drawn: Bootstrap, index: int, clusters: int) -> Difference:
    value = float(drawn.estimates[index])
    if np.isnan(value):
        return Difference(value=None, interval=None, other_sign=None)
    interval = drawn.interval(index) if clusters >= MIN_CLUSTERS else None
    return Difference(value=value, interval=interval, other_sign=100 * _other_sign(drawn, index) if interval else None)


def _other_sign(drawn: Bootstrap, index: int) -> float:
    values = drawn.replicates[:, index]
    values = values[~np.isnan(values)] * (np.sign(drawn.estimates[index]) or 1)
    return np.count_nonzero(values <= 0) / len(values)


def _class_differences(
    names: Sequence[str], drawn: Bootstrap, sums: Sequence[NDArray[np.int64]]
) -> tuple[ClassDifference, ...]:
    having = np.minimum(*map(clusters_with_class, sums))
    offset = len(_MEANS)
    differences = [_difference(drawn, offset + index, int(count)) for index, count in enumerate(having)]
    tested = [index for index, difference in enumerate(differences) if difference.interval]
    # One extra draw of the opposite sign keeps p above 0 (Davison and Hinkley 1997).
    draws = len(drawn.replicates)
    raw = [min(1.0, 2 * (_other_sign(drawn, offset + index) * draws + 1) / (draws + 1)) for index in tested]
    p_values = dict(zip(tested, holm(raw), strict=True))
    return tuple(
        ClassDifference(
            name=name, iou=difference, p=p_values.get(index), significant=p_values.get(index, 1) < 1 - CONFIDENCE / 100
        )
        for index, (name, difference) in enumerate(zip(names, differences, strict=True))
    )


def _measured_on(images: int, paired: bool) -> str:
    return f"on these {images} images" if paired else f"from {images} images, which they do not share"


def _sentence(names: tuple[str, str], miou: Difference, measured_on: str, *, too_few: str) -> str:
    if miou.value is None:
        return f"{names[1]} and {names[0]} have no mIoU to compare."
    points = f"{abs(miou.value):.2f} points of mIoU"
    if miou.interval is None:
        return (
            f"{names[1]} and {names[0]} differ by {points}, and {too_few} are too few to tell whether that is chance."
        )
    low, high = miou.interval.low, miou.interval.high
    if low > 0:
        return f"{names[1]} is better than {names[0]} by {points} [{low:.2f}, {high:.2f}] {measured_on}."
    if high < 0:
        return f"{names[0]} is better than {names[1]} by {points} [{-high:.2f}, {-low:.2f}] {measured_on}."
    return (
        f"No difference is found between {names[1]} and {names[0]} {measured_on}: "
        f"{format_difference(miou.value)} points of mIoU [{format_difference(low)}, {format_difference(high)}]."
    )
