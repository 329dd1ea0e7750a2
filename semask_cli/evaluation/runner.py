"""Running an evaluation: images that the journal does not hold yet are predicted, counted and recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import Dataset, Sample, read_labels, read_values
from semask_cli.datasets.labels import read_instance_ids
from semask_cli.distributed.world import World
from semask_cli.errors import DatasetError, OutputError, UsageError
from semask_cli.evaluation.calibration import confidence_counts, packed
from semask_cli.evaluation.cityscapes import instances
from semask_cli.evaluation.journal import Journal, Settings, differing_settings, read_journals
from semask_cli.evaluation.locating import boundary_counts, object_counts
from semask_cli.evaluation.metrics import confusion
from semask_cli.evaluation.provenance import Clock
from semask_cli.evaluation.records import Instance, Record, labels_digest, nonzero_counts, parsed_record
from semask_cli.evaluation.results import Evaluation
from semask_cli.evaluation.selection import Selection, is_published_split, split_in_words
from semask_cli.evaluation.sources import ModelSource, Source
from semask_cli.evaluation.summary import summarise
from semask_cli.io.files import write_atomically
from semask_cli.io.regular import open_regular
from semask_cli.output.render import encode_mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be evaluated, and how: the samples of `selection`, measured in `definition` (see metrics.DEFINITIONS).

    `journal` is the folder in which images that are done are recorded, in the file number `journal_number`; `mask_dir`
    is one for the predicted masks (palette PNGs). The processes of `world` share the images; rank 0 alone writes. With
    `merged` all images have been counted before, in the journals of these folders. `boundaries` asks for what
    `evaluation.locating` counts, `calibration` (of a model alone) for what `evaluation.calibration` does.
    """

    dataset: Dataset
    selection: Selection
    definition: str
    journal: Path
    journal_number: int = 0
    merged: tuple[Path, ...] = ()
    mask_dir: Path | None = None
    boundaries: bool = False
    calibration: bool = False
    world: World = field(default_factory=World)


class Progress(Protocol):
    """Is told how an evaluation goes on, in the first of several processes. `remaining` images are left to count."""

    def started(self, plan: Plan) -> None:
        """The dataset is sound and the model loaded."""

    def resumed(self, records: Sequence[Record], remaining: int) -> None:
        """These records were in the journal."""

    def damaged(self, lines: int) -> None:
        """So many lines of the journal are damaged; their images are evaluated again."""

    def counted(self, record: Record, remaining: int) -> None:
        """A record has been added."""


def run(plan: Plan, source: Source, *, progress: Progress | None = None) -> Evaluation:
    """Evaluate the samples that the journal lacks, and sum up all of them. Each process returns the same evaluation.

    Raises:
        DatasetError: a label or mask that cannot be read, holds values that are no class, or has the wrong size.
        ImageError: an image that cannot be read.
        UsageError: the journal was begun with other settings.
        OutputError: the journal or a mask cannot be written.
    """
    clock = Clock()
    world, classes = plan.world, len(plan.dataset.classes)
    settings = json.loads(
        json.dumps(evaluation_settings(plan.dataset, source, boundaries=plan.boundaries, calibration=plan.calibration))
    )
    if changed := differing_settings(world.share(settings), settings):
        raise UsageError(f"the processes of this run differ: {changed}", "Start all of them alike.")
    progress = progress if world.rank == 0 else None
    if progress:
        progress.started(plan)
    if plan.merged:
        records, counted = _merged(plan, source, settings), 0
    else:
        journal = None
        if world.rank == 0:
            images = len(plan.selection.samples)
            journal = Journal(plan.journal, settings, classes=classes, number=plan.journal_number, images=images)
        records, counted = _collect(plan, source, journal, progress)
        records = world.share(records)
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
        run=clock.run(settings, processes=plan.world.size, counted=counted, masks=plan.mask_dir),
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


def _merged(plan: Plan, source: Source, settings: Settings) -> list[Record]:
    contents = read_journals(plan.merged, settings, classes=len(plan.dataset.classes))
    records, _ = _sort_out(contents.records, plan.selection.samples, source)
    if lost := {sample.id for sample in plan.selection.samples} - records.keys():
        raise OutputError(
            f"the journals lack {len(lost)} of {len(plan.selection.samples)} images, such as {min(lost)}",
            "Run their shards again, or name all journals.",
        )
    return [records[key] for key in sorted(records)]


def _collect(
    plan: Plan, source: Source, journal: Journal | None, progress: Progress | None
) -> tuple[list[Record], int]:
    """The records of the samples, sorted by id: those in the journal whose files are unchanged, and new ones.

    None in processes that have no journal, which send to the one that has. And how many this process has counted.
    """
    dataset, world = plan.dataset, plan.world
    by_id = {sample.id: sample for sample in plan.selection.samples}
    stale: set[tuple[str, str]] = set()
    pending: list[str] = []
    if journal:
        contents = journal.read()
        current, stale = _sort_out(contents.records, plan.selection.samples, source)
        done = {key: record for key, record in current.items() if _has_mask(plan, by_id[key], record)}
        pending = [id for id in by_id if id not in done]
        if progress:
            if contents.damaged:
                progress.damaged(contents.damaged)
            progress.resumed(tuple(done.values()), len(pending))
    pending = world.share(pending)
    keeper = _Keeper(plan, journal, progress, remaining=len(pending))
    assigned = [by_id[id] for id in pending[world.rank :: world.size]]

    def count(sample: Sample, predicted: NDArray[np.uint8], scores: NDArray[np.float32] | None) -> None:
        # All that is read is read before anything is written.
        record = _record(plan, sample, predicted, scores, files=_files_digest(sample, source))
        mask = _encoded_mask(predicted, dataset) if plan.mask_dir else b""
        if journal:
            keeper.keep(record, mask)
        else:
            world.send(json.dumps(record.to_json()).encode() + b"\n" + mask)

    # While one image is predicted the one before it is counted.
    with world.gathering(keeper.receive), ThreadPoolExecutor(1) as worker:
        counting: Future[None] | None = None
        for sample, prediction in zip(assigned, _predictions(plan, source, assigned), strict=True):
            if counting:
                counting.result()
            counting = worker.submit(count, sample, *prediction)
        if counting:
            counting.result()
    if not journal:
        return [], len(assigned)
    records = {record.id: record for record in journal.read().records if (record.id, record.files) not in stale}
    if lost := by_id.keys() - records.keys():
        raise OutputError(
            f"the journal {plan.journal} lacks {len(lost)} images that were evaluated, such as {min(lost)}",
            "Something else has changed it, or the files behind it. Start the same command again.",
        )
    return [records[key] for key in sorted(by_id)], len(assigned)


class _Keeper:
    """Writes what has been counted, here or by another process: the mask, then the record."""

    def __init__(self, plan: Plan, journal: Journal | None, progress: Progress | None, *, remaining: int) -> None:
        self._plan, self._journal, self._progress, self._remaining = plan, journal, progress, remaining
        self._samples = {sample.id: sample for sample in plan.selection.samples}
        self._lock = Lock()

    def receive(self, message: bytes) -> None:
        line, _, mask = message.partition(b"\n")
        record = parsed_record(json.loads(line), len(self._plan.dataset.classes))
        assert record is not None  # the same version of the program has made it
        self.keep(record, mask)

    def keep(self, record: Record, mask: bytes) -> None:
        assert self._journal is not None
        if self._plan.mask_dir:
            write_atomically(mask_path(self._plan.mask_dir, self._samples[record.id]), mask)
        self._journal.append(record)
        with self._lock:
            self._remaining -= 1
            if self._progress:
                self._progress.counted(record, self._remaining)


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
        confidence="" if scores is None else packed(confidence_counts(labels, predicted, scores)),
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


def _encoded_mask(predicted: NDArray[np.uint8], dataset: Dataset) -> bytes:
    classes = dataset.classes
    return encode_mask(predicted, classes.palette, dataset=classes.name, classes=classes.classes)


def _has_mask(plan: Plan, sample: Sample, record: Record) -> bool:
    """Whether the mask that was counted is there, if it is wanted: a mask of another run may lie in its place."""
    if not plan.mask_dir:
        return True
    try:
        return labels_digest(read_values(mask_path(plan.mask_dir, sample)).astype(np.uint8)) == record.predicted
    except DatasetError:
        return False
