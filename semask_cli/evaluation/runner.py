"""Running an evaluation: images that the journal does not hold yet are predicted, counted and recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import Dataset, Sample, read_labels, read_values
from semask_cli.datasets.labels import read_instance_ids
from semask_cli.errors import DatasetError, OutputError
from semask_cli.evaluation.calibration import confidence_counts
from semask_cli.evaluation.cityscapes import instances
from semask_cli.evaluation.journal import Instance, Journal, Record, Settings, labels_digest, nonzero_counts
from semask_cli.evaluation.locating import boundary_counts, object_counts
from semask_cli.evaluation.metrics import confusion
from semask_cli.evaluation.provenance import Clock
from semask_cli.evaluation.results import Evaluation
from semask_cli.evaluation.selection import Selection, is_published_split, split_in_words
from semask_cli.evaluation.sources import ModelSource, Source
from semask_cli.evaluation.summary import summarise
from semask_cli.evaluation.world import World
from semask_cli.io.files import write_atomically
from semask_cli.io.regular import open_regular
from semask_cli.output.render import encode_mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be evaluated, and how: the samples of `selection`, measured in `definition` (see metrics.DEFINITIONS).

    `journal` is the folder in which images that are done are recorded, `mask_dir` one for the predicted masks (palette
    PNGs). The processes of `world` share the images. `boundaries` asks for what `evaluation.locating` counts,
    `calibration` (of a model alone) for what `evaluation.calibration` does.
    """

    dataset: Dataset
    selection: Selection
    definition: str
    journal: Path
    mask_dir: Path | None = None
    boundaries: bool = False
    calibration: bool = False
    world: World = field(default_factory=World)


class Progress(Protocol):
    """Is told how an evaluation goes on. `remaining` is the number of images that this process has yet to count."""

    def started(self, plan: Plan) -> None:
        """The dataset is sound and the model loaded."""

    def resumed(self, records: Sequence[Record], remaining: int) -> None:
        """These records were in the journal."""

    def damaged(self, lines: int) -> None:
        """So many lines of the journal are damaged; their images are evaluated again."""

    def counted(self, record: Record, remaining: int) -> None:
        """This process has added a record."""


def run(plan: Plan, source: Source, *, progress: Progress | None = None) -> Evaluation:
    """Evaluate the samples that the journal lacks, and sum up all of them. Each process returns the same evaluation.

    Raises:
        DatasetError: a label or mask that cannot be read, holds values that are no class, or has the wrong size.
        ImageError: an image that cannot be read.
        UsageError: the journal was begun with other settings.
        OutputError: the journal or a mask cannot be written.
    """
    clock = Clock()
    if progress:
        progress.started(plan)
    settings = evaluation_settings(plan.dataset, source, boundaries=plan.boundaries, calibration=plan.calibration)
    journal = Journal(plan.journal, settings, classes=len(plan.dataset.classes), rank=plan.world.rank)
    records, counted = _collect(plan, source, journal, progress)
    whole = is_published_split(plan.dataset) and not plan.selection.partial
    return summarise(
        records,
        plan.dataset.classes,
        title=source.title,
        split=plan.dataset.split,
        definition=plan.definition,
        settings=settings,
        published=source.published if whole else None,
        partial=plan.selection.partial,
        missing=plan.selection.missing,
        split_state=split_in_words(plan.dataset, plan.selection),
        run=clock.run(settings, processes=plan.world.size, counted=counted),
    )


def evaluation_settings(
    dataset: Dataset, source: Source, *, boundaries: bool = False, calibration: bool = False
) -> Settings:
    """All that the counts of an image depend on, besides its files; and what is counted beyond pixels of classes."""
    folders = {} if dataset.split else {"images": str(dataset.root.resolve()), "classes": dataset.classes.classes}
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "label_coding": dataset.encoding.name,
        **folders,
        **({"boundaries": True} if boundaries else {}),
        **({"calibration": source.score} if calibration and isinstance(source, ModelSource) else {}),
        **source.settings,
    }


def _collect(plan: Plan, source: Source, journal: Journal, progress: Progress | None) -> tuple[list[Record], int]:
    """The records of the samples, sorted by id: those in the journal whose files are unchanged, and new ones.

    And how many this process has added.
    """
    dataset, samples, mask_dir, world = plan.dataset, plan.selection.samples, plan.mask_dir, plan.world
    by_id = {sample.id: sample for sample in samples}
    contents = journal.read()
    current, stale = _sort_out(contents.records, samples, source)
    done = {key: record for key, record in current.items() if not mask_dir or _is_saved(mask_dir, by_id[key], record)}
    pending = [sample for sample in samples if sample.id not in done]
    assigned = pending[world.rank :: world.size]
    if progress and contents.damaged:
        progress.damaged(contents.damaged)
    if progress:
        progress.resumed(tuple(done.values()), len(assigned))
    world.barrier()  # all processes have read the journal, so all divide the same pending samples

    def count(sample: Sample, predicted: NDArray[np.uint8], scores: NDArray[np.float32] | None) -> Record:
        # All that is read is read before anything is written.
        record = _record(plan, sample, predicted, scores, files=_files_digest(sample, source))
        if mask_dir:
            _save_mask(mask_path(mask_dir, sample), predicted, dataset)
        journal.append(record)
        return record

    def settle(counting: Future[Record], remaining: int) -> None:
        record = counting.result()
        if progress:
            progress.counted(record, remaining)

    # While one image is predicted the one before it is counted.
    with ThreadPoolExecutor(1) as worker:
        counting: Future[Record] | None = None
        for number, (sample, prediction) in enumerate(zip(assigned, _predictions(plan, source, assigned), strict=True)):
            if counting:
                settle(counting, len(assigned) - number)
            counting = worker.submit(count, sample, *prediction)
        if counting:
            settle(counting, 0)
    world.barrier()  # all records are on disk
    records = {record.id: record for record in journal.read().records if (record.id, record.files) not in stale}
    if lost := by_id.keys() - records.keys():
        raise OutputError(
            f"the journal {plan.journal} lacks {len(lost)} images that were evaluated, such as {min(lost)}",
            "Something else has changed it, or the files behind it. Start the same command again.",
        )
    return [records[key] for key in sorted(by_id)], len(assigned)


def _sort_out(
    records: Sequence[Record], samples: Sequence[Sample], source: Source
) -> tuple[dict[str, Record], set[tuple[str, str]]]:
    """The records whose files are still the same, by id; and (id, files) of those whose files have changed since."""
    recorded = {record.id for record in records}
    digests = {sample.id: _files_digest(sample, source) for sample in samples if sample.id in recorded}
    current = {record.id: record for record in records if digests.get(record.id) == record.files}
    stale = {(record.id, record.files) for record in records if digests.get(record.id) != record.files}
    return current, stale


def _files_digest(sample: Sample, source: Source) -> str:
    """SHA-256 over the files that a record depends on."""
    return _digest(sample.label, sample.instances, source.file_of(sample))


def _digest(*paths: Path | None) -> str:
    digest = hashlib.sha256()
    for path in filter(None, paths):
        try:
            with open_regular(path) as file:
                digest.update(file.read())
        except OSError as error:
            raise DatasetError(
                f"cannot read {path}: {error.strerror}", "`semask check` looks at every file."
            ) from error
    return digest.hexdigest()


def _predictions(
    plan: Plan, source: Source, samples: Sequence[Sample]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32] | None]]:
    """The labels of each sample, with the scores of these where calibration needs them."""
    if plan.calibration and isinstance(source, ModelSource):
        yield from source.labels_and_scores(samples)
    else:
        for labels in source.labels(samples):
            yield labels, None


def _record(
    plan: Plan,
    sample: Sample,
    predicted: NDArray[np.uint8],
    scores: NDArray[np.float32] | None,
    *,
    files: str,
) -> Record:
    dataset = plan.dataset
    image, digest = _digest(sample.image), labels_digest(predicted)
    if sample.label is None:  # predicted for a submission alone
        return Record(id=sample.id, files=files, image=image, labels="", predicted=digest, nonzero_counts=())
    labels = read_labels(sample.label, dataset.encoding)
    if labels.shape != predicted.shape:
        sizes = [f"{width} x {height}" for height, width in (labels.shape, predicted.shape)]
        raise DatasetError(
            f"{sample.label} is {sizes[0]}, its prediction {sizes[1]}",
            "Predictions must have the size of the label: nothing is resized.",
        )
    return Record(
        id=sample.id,
        files=files,
        image=image,
        labels=labels_digest(labels),
        predicted=digest,
        nonzero_counts=nonzero_counts(confusion(labels, predicted, len(dataset.classes))),
        instances=_instances(dataset, sample, predicted),
        boundaries=boundary_counts(labels, predicted) if plan.boundaries else (),
        objects=object_counts(labels, predicted) if plan.boundaries else (),
        confidence=() if scores is None else confidence_counts(labels, predicted, scores),
    )


def _instances(dataset: Dataset, sample: Sample, predicted: NDArray[np.uint8]) -> tuple[Instance, ...]:
    if sample.instances is None:
        return ()
    height, width = predicted.shape
    ids = read_instance_ids(sample.instances, dataset.classes.instance_encoding, (height, width))
    return instances(ids, predicted, dataset.classes)


def mask_path(folder: Path, sample: Sample) -> Path:
    """Where the predicted mask of a sample is saved."""
    return folder / f"{sample.id}.png"


def _save_mask(path: Path, predicted: NDArray[np.uint8], dataset: Dataset) -> None:
    classes = dataset.classes
    write_atomically(path, encode_mask(predicted, classes.palette, dataset=classes.name, classes=classes.classes))


def _is_saved(folder: Path, sample: Sample, record: Record) -> bool:
    """Whether the mask in `folder` is the one that was counted: a mask of another run may lie there."""
    try:
        return labels_digest(read_values(mask_path(folder, sample)).astype(np.uint8)) == record.predicted
    except DatasetError:
        return False
