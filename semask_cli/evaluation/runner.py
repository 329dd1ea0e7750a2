"""Running an evaluation: images that the journal does not know yet are predicted, counted and written down."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import Dataset, Sample, read_labels, read_values
from semask_cli.errors import DatasetError
from semask_cli.evaluation.cityscapes import instances
from semask_cli.evaluation.journal import Journal, Record, Settings, cells, labels_digest
from semask_cli.evaluation.metrics import confusion
from semask_cli.evaluation.processes import Team
from semask_cli.evaluation.results import Evaluation, summarise
from semask_cli.evaluation.selection import Selection, is_published_split
from semask_cli.evaluation.sources import Source
from semask_cli.io.files import write_atomically
from semask_cli.output.render import encode_mask


class Observer(Protocol):
    """Hears how an evaluation goes on. `left` is how many images this process has yet to count."""

    def resumed(self, records: Sequence[Record], left: int) -> None:
        """These records were in the journal."""

    def counted(self, record: Record, left: int) -> None:
        """This process has made a record."""


def evaluate(
    dataset: Dataset,
    selection: Selection,
    source: Source,
    *,
    journal: Path,
    definition: str | None = None,
    masks_to: Path | None = None,
    team: Team | None = None,
    observer: Observer | None = None,
) -> Evaluation:
    """Evaluate the images of `selection`, but for those that the folder `journal` knows already.

    `definition` is one of `metrics.DEFINITIONS` (default: the source's own); `masks_to` a folder for the predicted
    masks (palette PNGs). The processes of `team` share the images, and each returns the same evaluation.

    Raises:
        DatasetError: a label or mask that cannot be read, holds values that are no class, or has the wrong size.
        UsageError: the journal was begun with other settings.
        OutputError: the journal or a mask cannot be written.
    """
    settings = evaluation_settings(dataset, source)
    team = team or Team()
    book = Journal(journal, settings, rank=team.rank)
    records = _collect(dataset, selection.samples, source, book, team=team, masks_to=masks_to, observer=observer)
    whole = is_published_split(dataset) and not selection.partial
    return summarise(
        records,
        dataset.classes,
        title=source.title,
        split=dataset.split,
        definition=definition or source.definition,
        settings=settings,
        published=source.published if whole else None,
        partial=selection.partial,
        missing=selection.missing,
    )


def evaluation_settings(dataset: Dataset, source: Source) -> Settings:
    """All that the counts of an image depend on, besides its files."""
    own = {"images": str(dataset.root.resolve()), "classes": dataset.classes.classes} if not dataset.split else {}
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "label_coding": dataset.coding.name,
        **own,
        **source.settings,
    }


def _collect(
    dataset: Dataset,
    samples: Sequence[Sample],
    source: Source,
    journal: Journal,
    *,
    team: Team,
    masks_to: Path | None,
    observer: Observer | None,
) -> list[Record]:
    """The records of `images`, sorted by id: those in the journal whose files are unchanged, and new ones."""
    by_id = {sample.id: sample for sample in samples}
    current, stale = _sort_out(journal.records(), samples, source)
    done = {key: record for key, record in current.items() if not masks_to or _is_saved(masks_to, by_id[key], record)}
    rest = [sample for sample in samples if sample.id not in done]
    mine = rest[team.rank :: team.size]
    if observer:
        observer.resumed(tuple(done.values()), len(mine))
    team.wait()  # all processes have read the journal, so all divide the same rest

    def count(sample: Sample, predicted: NDArray[np.uint8]) -> Record:
        if masks_to:
            _save_mask(_mask_path(masks_to, sample), predicted, dataset)
        record = _record(dataset, sample, predicted, files=_files_digest(sample, source))
        journal.append(record)
        return record

    def settle(counting: Future[Record], left: int) -> None:
        record = counting.result()
        if observer:
            observer.counted(record, left)

    # While one image is predicted the one before it is counted.
    with ThreadPoolExecutor(1) as worker:
        counting: Future[Record] | None = None
        for number, (sample, predicted) in enumerate(zip(mine, source.labels(mine), strict=True)):
            if counting:
                settle(counting, len(mine) - number)
            counting = worker.submit(count, sample, predicted)
        if counting:
            settle(counting, 0)
    team.wait()  # all records are on disk
    known = {record.id: record for record in journal.records() if (record.id, record.files) not in stale}
    return [known[key] for key in sorted(by_id)]


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
    digest = hashlib.sha256()
    for path in filter(None, (sample.label, sample.instances, source.file_of(sample))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _record(dataset: Dataset, sample: Sample, predicted: NDArray[np.uint8], *, files: str) -> Record:
    digest = labels_digest(predicted)
    if sample.label is None:  # predicted for a submission alone
        return Record(id=sample.id, files=files, predicted=digest, cells=())
    labels = read_labels(sample.label, dataset.coding)
    if labels.shape != predicted.shape:
        sizes = [f"{width} x {height}" for height, width in (labels.shape, predicted.shape)]
        raise DatasetError(
            f"{sample.label} is {sizes[0]}, its prediction {sizes[1]}",
            "Predictions must have the size of the label: nothing is resized.",
        )
    return Record(
        id=sample.id,
        files=files,
        predicted=digest,
        cells=cells(confusion(labels, predicted, len(dataset.classes))),
        instances=instances(read_values(sample.instances), predicted) if sample.instances else (),
    )


def _mask_path(folder: Path, sample: Sample) -> Path:
    return folder / f"{sample.id}.png"


def _save_mask(path: Path, predicted: NDArray[np.uint8], dataset: Dataset) -> None:
    known = dataset.classes
    write_atomically(path, encode_mask(predicted, known.palette, dataset=known.name, classes=known.classes))


def _is_saved(folder: Path, sample: Sample, record: Record) -> bool:
    """Whether the mask in `folder` is the one that was counted: a mask of another run may lie there."""
    try:
        return labels_digest(read_values(_mask_path(folder, sample)).astype(np.uint8)) == record.predicted
    except DatasetError:
        return False
