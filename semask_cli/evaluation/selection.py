"""Which pictures an evaluation takes, and in words why they may not be the whole split."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from semask_cli.datasets import Dataset, Picture
from semask_cli.datasets.layouts import EVALUATED_SPLIT, PUBLISHED_PICTURES


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The `pictures` to evaluate; `missing` files are gone without. `partial` is empty for a whole, complete split."""

    pictures: tuple[Picture, ...]
    missing: int
    partial: str


def select(
    dataset: Dataset,
    *,
    unpredicted: Collection[Picture] = (),
    limit: int | None = None,
    shuffle_seed: int | None = None,
    unlabelled_too: bool = False,
) -> Selection:
    """The pictures with a label and a prediction: all, or `limit` of them, the first or drawn at random.

    `unlabelled_too` takes pictures without a label as well, which count nothing: they are predicted for a submission.
    """
    without = {picture.id for picture in unpredicted}
    if not unlabelled_too:
        without |= {picture.id for picture in dataset.unlabelled}
    found = [picture for picture in dataset.pictures if picture.id not in without]
    missing = len(without) + len(dataset.orphans)
    reasons = [f"{missing} files missing"] if missing else []
    published = PUBLISHED_PICTURES.get(dataset.name, {}).get(dataset.split, 0)
    if len(dataset.pictures) < published:
        reasons.append(f"{len(dataset.pictures)} of the split's {published} pictures are here")
    if limit is not None and limit < len(found):
        drawn = "the first" if shuffle_seed is None else f"drawn with seed {shuffle_seed},"
        reasons.append(f"{drawn} {limit} of {len(found)} pictures")
        if shuffle_seed is not None:
            random.Random(shuffle_seed).shuffle(found)
        found = found[:limit]
    return Selection(pictures=tuple(found), missing=missing, partial="; ".join(reasons))


def is_published_split(dataset: Dataset) -> bool:
    """Whether published figures are of this split."""
    return bool(dataset.split) and EVALUATED_SPLIT.get(dataset.name) == dataset.split
