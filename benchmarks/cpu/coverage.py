"""How often 95 % intervals hold the truth, on simulated datasets where it is known.

    python -m benchmarks.cpu.coverage --record benchmarks/records/coverage.csv

Each dataset has images of five classes, from one that every image shows to one that 8 % do; sizes of objects are
lognormal, and images differ in how hard they are. The truth is the figure of two million images.
"""

from __future__ import annotations

import numpy as np

from benchmarks.cpu.record import record_parser, write_record
from semask_cli.evaluation.intervals import bootstrap, figures_of
from semask_cli.evaluation.metrics import ClassTotals

SHOWN_BY = np.array([1, 0.8, 0.4, 0.15, 0.08])
"""The share of the images that show each class."""

RESAMPLES = 2000
TRUTH = 2_000_000  # images
FIGURES = {"mIoU": 0, "mAcc": 1, "aAcc": 2, **{f"IoU, {100 * s:g} % of images": 4 + i for i, s in enumerate(SHOWN_BY)}}


def draw(generator: np.random.Generator, images: int) -> ClassTotals:
    """The totals (N, K) of `images` images."""
    shape = (images, len(SHOWN_BY))
    labelled = np.exp(generator.normal(7, 1.2, shape)).astype(np.int64) * (generator.random(shape) < SHOWN_BY)
    ease = generator.beta(8, 2, (images, 1)) * generator.beta([60, 20, 8, 5, 3], [1, 1, 1.5, 2, 3], shape)
    right = np.floor(labelled * ease).astype(np.int64)
    predicted = right.copy()
    taken_for = (np.arange(shape[1]) + generator.integers(1, shape[1], shape)) % shape[1]
    for index in range(shape[1]):
        np.add.at(predicted, (np.arange(images), taken_for[:, index]), (labelled - right)[:, index])
    return ClassTotals(right=right, labelled=labelled, predicted=predicted)


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--images", type=int, nargs="+", default=[60, 200, 500])
    arguments = parser.parse_args()
    generator = np.random.default_rng(1)
    truth = figures_of(draw(generator, TRUTH).stacked().sum(axis=0, keepdims=True).astype(float), "mmseg")[0]
    rows = []
    for images in arguments.images:
        held = np.zeros((len(FIGURES), 2))
        given = np.zeros(len(FIGURES))
        for seed in range(arguments.datasets):
            drawn = bootstrap(
                draw(generator, images).stacked(), lambda s: figures_of(s, "mmseg"), resamples=RESAMPLES, seed=seed
            )
            for row, index in enumerate(FIGURES.values()):
                if interval := drawn.interval(index):
                    given[row] += 1
                    held[row] += (
                        interval.low <= truth[index] <= interval.high,
                        interval.bca_low <= truth[index] <= interval.bca_high,
                    )
        for name, count, (percentile, bca) in zip(FIGURES, given, held, strict=True):
            rows.append(
                {
                    "figure": name,
                    "images": images,
                    "datasets": arguments.datasets,
                    "percentile": f"{percentile / max(1, count):.3f}",
                    "bca": f"{bca / max(1, count):.3f}",
                }
            )
            print(rows[-1])
    write_record(arguments.record, rows)


if __name__ == "__main__":
    main()
