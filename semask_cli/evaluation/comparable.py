"""Whether evaluations can be compared: their labels must be equal; other differences are only reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from semask_cli.errors import UsageError
from semask_cli.evaluation.results import Evaluation

_SAME_LABELS = "Evaluate both on the same label files."


def refuse_other_labels(names: tuple[str, str], first: Evaluation, other: Evaluation) -> None:
    """Refuse to compare evaluations on different labels. `names` are for messages.

    Raises:
        UsageError: another dataset, split or list of classes, or other labels for a shared image; it says which. Or
            one has no images.
    """
    for name, run in zip(names, (first, other), strict=True):
        if not run.image_results:
            raise UsageError(f"{name} has no images", "Evaluate it on more images.")
    if (other.dataset, other.split) != (first.dataset, first.split):
        raise UsageError(
            f"{names[1]} is on {other.dataset} {other.split}, {names[0]} on {first.dataset} {first.split}",
            "Compare evaluations of the same split and classes.",
        )
    classes = [[result.name for result in run.classes] for run in (first, other)]
    if len(classes[0]) != len(classes[1]):
        raise UsageError(f"{names[1]} has {len(classes[1])} classes, {names[0]} has {len(classes[0])}", _SAME_LABELS)
    for index, (name, other_name) in enumerate(zip(*classes, strict=True)):
        if name != other_name:
            raise UsageError(f"class {index} is {other_name!r} in {names[1]}, {name!r} in {names[0]}", _SAME_LABELS)
    if changed := differing_images(first, other, "labels"):
        raise UsageError(
            f"the labels of {len(changed)} images differ between {names[1]} and {names[0]}, first {changed[0]}",
            _SAME_LABELS,
        )


def differing_images(first: Evaluation, other: Evaluation, digest: str) -> list[str]:
    """The ids of shared images whose `digest` ("image", "labels" or "predicted") differs."""
    digests = {result.id: getattr(result, digest) for result in first.image_results}
    return [r.id for r in other.image_results if r.id in digests and digests[r.id] != getattr(r, digest)]


def cautions(runs: Mapping[str, Evaluation], first: Evaluation) -> Iterator[str]:
    """Sentences on why comparable figures may still not mean the same."""
    for name, run in runs.items():
        if run.partial:
            yield f"{name} is partial: {run.partial}."
    if len({frozenset(result.id for result in run.image_results) for run in runs.values()}) > 1:
        yield "The runs have different images; differences are measured on the shared ones, if there are any."
    for name, run in runs.items():
        if changed := differing_images(first, run, "image"):
            yield f"{len(changed)} image files of {name} differ, such as {changed[0]}."
    if any(run.definition != first.definition for run in runs.values()):
        yield f"The runs were evaluated in different definitions; mIoU is given in {first.definition}'s."
