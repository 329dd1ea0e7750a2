"""Verification of a result: its figures are recomputed from its own counts and its journal, its files read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from semask_cli.datasets import ClassSet, Dataset, read_labels
from semask_cli.datasets.spec import dataset_names, dataset_spec
from semask_cli.errors import UsageError
from semask_cli.evaluation.counting import digest_of_files
from semask_cli.evaluation.journal import default_journal, read_journals
from semask_cli.evaluation.metrics import class_totals, metrics
from semask_cli.evaluation.reading import read_evaluation
from semask_cli.evaluation.records import Record, labels_digest
from semask_cli.evaluation.results import Evaluation, ImageResult
from semask_cli.evaluation.selection import is_published_split, missing_files
from semask_cli.evaluation.sources import published_figure
from semask_cli.evaluation.summary import figures_of_totals, number, summarise
from semask_cli.zoo import load_zoo

_NAMED = 5
_OWN = "figures from the document's own counts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: whether the result `holds` (None if it could not be checked), and what was found."""

    name: str
    holds: bool | None
    found: str


def verify(path: Path, *, journal: Path | None = None, dataset: Dataset | None = None) -> tuple[Check, ...]:
    """Verify the evaluation in a JSON file, or in the folder of a report.

    Its figures are recomputed from its own counts, and from the records of `journal` (by default the one of the run in
    the cache). The images and labels of `dataset` are read, if it is given.

    Raises:
        UsageError: the file is not an evaluation.
        OutputError: the journal cannot be read.
    """
    evaluation = read_evaluation(path)
    class_set = _class_set(evaluation)
    checks = [_own_counts(evaluation, class_set), _journal(evaluation, class_set, journal)]
    if dataset is None:
        checks.append(Check(name="files", holds=None, found="not checked: give the dataset and its --root"))
    else:
        checks += _files(evaluation, dataset)
    return tuple(checks)


def _own_counts(evaluation: Evaluation, class_set: ClassSet) -> Check:
    totals = evaluation.totals()
    own = metrics(totals, "mmseg")
    recomputed = replace(
        evaluation,
        images=len(evaluation.image_results),
        missing=missing_files(evaluation.partial),
        published=_published(evaluation, class_set),
        image_results=tuple(
            replace(result, miou=number(miou), aacc=number(aacc))
            for result, miou, aacc in zip(evaluation.image_results, own.miou, own.aacc, strict=True)
        ),
        **figures_of_totals(
            totals,
            [result.cluster for result in evaluation.image_results],
            class_set,
            definition=evaluation.definition,
            unit=evaluation.cluster_unit,
        ),
    )
    sums = class_totals(np.array(evaluation.confusion, np.int64)).stacked()
    if (sums != totals.stacked().sum(axis=0)).any():
        return Check(name=_OWN, holds=False, found="the confusion matrix is not the sum of the images' counts")
    return _compared(_OWN, evaluation, recomputed)


def _published(evaluation: Evaluation, class_set: ClassSet) -> float | None:
    """The figure in the zoo that the result is held against; the document's own for a model that is not there."""
    settings = evaluation.settings
    whole = is_published_split(class_set.spec, evaluation.split) and not evaluation.partial
    if "model" not in settings or not whole:
        return None
    model = load_zoo().models.get(str(settings["model"]))
    return published_figure(model, settings) if model else evaluation.published


def _journal(evaluation: Evaluation, class_set: ClassSet, folder: Path | None) -> Check:
    name = "figures from the journal"
    folder = folder or default_journal(evaluation.title, evaluation.settings)
    try:
        contents = read_journals([folder], evaluation.settings, classes=len(class_set))
    except UsageError as error:
        return Check(name=name, holds=False, found=error.message)
    if not contents.records:
        return Check(name=name, holds=None, found=f"there is no journal in {folder}")
    written = {_identity(record): record for record in contents.records}
    records = [written.get(_identity(result)) for result in evaluation.image_results]
    if missing := [r.id for r, record in zip(evaluation.image_results, records, strict=True) if record is None]:
        return Check(name=name, holds=False, found=f"the journal in {folder} has no such record of {_listed(missing)}")
    recomputed = summarise(
        [record for record in records if record],
        class_set,
        title=evaluation.title,
        split=evaluation.split,
        definition=evaluation.definition,
        settings=evaluation.settings,
        published=evaluation.published,
        partial=evaluation.partial,
        missing=evaluation.missing,
        split_state=evaluation.provenance.split,
    )
    return _compared(name, evaluation, recomputed)


def _files(evaluation: Evaluation, dataset: Dataset) -> Iterator[Check]:
    names = tuple(result.name for result in evaluation.classes)
    differing = [
        f"{index} is {now!r}, was {then!r}"
        for index, (now, then) in enumerate(zip(dataset.classes.classes, names, strict=False))
        if now != then
    ]
    if len(names) != len(dataset.classes):
        differing.insert(0, f"there are {len(dataset.classes)}, were {len(names)}")
    yield _check("classes", differing, "are those of the document")
    samples = {sample.id: sample for sample in dataset.samples}
    left_out = [] if evaluation.partial else sorted(samples.keys() - {result.id for result in evaluation.image_results})
    yield _check("selection", left_out, "is what the document says", "said to be all images, but without ")
    gone, images, labels = [], [], []
    for result in evaluation.image_results:
        sample = samples.get(result.id)
        if sample is None or (sample.label is None and result.labels):
            gone.append(result.id)
            continue
        if digest_of_files(sample.image) != result.image:
            images.append(result.id)
        if sample.label is not None and labels_digest(read_labels(sample.label, dataset.encoding)) != result.labels:
            labels.append(result.id)
    yield _check("files", gone, "are all there", "not there: ")
    yield _check("images", images, "are those of the document", "changed: ")
    yield _check("labels", labels, "are those of the document", "changed: ")


def _check(name: str, wrong: Sequence[str], right: str, prefix: str = "") -> Check:
    return Check(name=name, holds=not wrong, found=f"{prefix}{_listed(wrong)}" if wrong else right)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _compared(name: str, written: Evaluation, recomputed: Evaluation) -> Check:
    differing = list(_differences(written, recomputed, ""))
    return _check(name, differing, "are those of the document")


def _differences(written: Any, recomputed: Any, where: str) -> Iterator[str]:
    """Descriptions of the differences between two values of the same type."""
    if is_dataclass(written) and type(written) is type(recomputed):
        for field in fields(written):
            if field.compare:
                yield from _differences(
                    getattr(written, field.name), getattr(recomputed, field.name), f"{where}{field.name} "
                )
    elif isinstance(written, tuple) and isinstance(recomputed, tuple) and len(written) == len(recomputed):
        for index, pair in enumerate(zip(written, recomputed, strict=True)):
            yield from _differences(*pair, f"{where}{index} ")
    elif written != recomputed:
        yield f"{where}is {written}, recomputed {recomputed}"


def _identity(record: Record | ImageResult) -> tuple[str, str, str, str]:
    return record.id, record.image, record.labels, record.predicted


def _class_set(evaluation: Evaluation) -> ClassSet:
    """The classes of a document, with the facts about their published dataset, if it is one."""
    names = tuple(result.name for result in evaluation.classes)
    spec = dataset_spec(evaluation.dataset) if evaluation.dataset in dataset_names() else None
    palette = [bytes.fromhex(result.colour[1:]) for result in evaluation.classes]
    return ClassSet(
        name=evaluation.dataset,
        classes=names,
        palette=np.array([list(colour) for colour in palette], np.uint8),
        encodings={},
        spec=spec if spec and tuple(spec.classes) == names else None,
    )
