"""The samples to evaluate, and the reasons why they may not be the whole split."""

from __future__ import annotations

import random
import re
from collections.abc import Collection
from dataclasses import dataclass

from semask_cli.datasets import Dataset, Sample
from semask_cli.datasets.spec import DatasetSpec
from semask_cli.distributed.shards import Shard

_MISSING = "missing files: "  # before their number, in `Selection.partial`


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The `samples` to evaluate, and the number of accepted `missing` files.

    `partial` says why these are not the whole split; it is empty if they are.
    """

    samples: tuple[Sample, ...]
    missing: int
    partial: str


def select(
    dataset: Dataset,
    *,
    unpredicted: Collection[Sample] = (),
    limit: int | None = None,
    shuffle_seed: int | None = None,
    unlabelled_too: bool = False,
    shard: Shard | None = None,
) -> Selection:
    """Select the images with a label and a prediction: all, or `limit` of them, the first or drawn at random.

    A `shard` takes its part of these. `unlabelled_too` adds images without a label, which are only predicted, for a
    submission.
    """
    skipped = {sample.id for sample in unpredicted}
    if not unlabelled_too:
        skipped |= {sample.id for sample in dataset.unlabelled}
    samples = [sample for sample in dataset.samples if sample.id not in skipped]
    missing = len(skipped) + len(dataset.orphans)
    reasons = [f"{_MISSING}{missing}"] if missing else []
    if unlabelled_too and dataset.unlabelled:
        reasons.append(f"images without a label: {len(dataset.unlabelled)}")
    if len(dataset.samples) < dataset.published_images:
        reasons.append(f"{len(dataset.samples)} of the split's {dataset.published_images} images are here")
    if limit is not None and limit < len(samples):
        drawn = "the first" if shuffle_seed is None else f"drawn with seed {shuffle_seed},"
        reasons.append(f"{drawn} {limit} of {len(samples)} images")
        if shuffle_seed is not None:
            random.Random(shuffle_seed).shuffle(samples)
        samples = samples[:limit]
    if shard:
        reasons.append(f"shard {shard} of {len(samples)} images")
        samples = [sample for sample in samples if shard.holds(sample.id)]
    return Selection(samples=tuple(samples), missing=missing, partial="; ".join(reasons))


def missing_files(partial: str) -> int:
    """The number of missing files in the words of `Selection.partial`."""
    found = re.match(rf"{_MISSING}(\d+)", partial)
    return int(found[1]) if found else 0


def is_published_split(spec: DatasetSpec | None, split: str) -> bool:
    """Whether this is the split of the published figures; `spec` is None for the user's own images."""
    return spec is not None and split == spec.evaluated_split


def split_in_words(dataset: Dataset, selection: Selection) -> str:
    """A sentence on whether this is the published split, judged by names and numbers; contents are not known."""
    if not dataset.split:
        return "the user's own images"
    name = f"the {dataset.split} split of {dataset.name}"
    if selection.partial:
        return f"not all of {name}: {selection.partial}"
    return (
        f"{name} with all of its {len(selection.samples)} images, and a label for each; only the fingerprints show "
        "whether files were altered"
    )
