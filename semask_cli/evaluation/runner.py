"""Running an evaluation: images that are not in the journal are predicted, counted and recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import Dataset, Sample, read_values
from semask_cli.distributed.world import World
from semask_cli.errors import DatasetError, OutputError, UsageError
from semask_cli.evaluation.counting import Counted, CountedElsewhere, Counting, files_digest
from semask_cli.evaluation.journal import Journal, Settings, differing_settings, read_journals
from semask_cli.evaluation.provenance import run_facts
from semask_cli.evaluation.records import Record, labels_digest
from semask_cli.evaluation.results import Evaluation
from semask_cli.evaluation.selection import Selection, is_published_split, split_in_words
from semask_cli.evaluation.sources import ModelSource, Source
from semask_cli.evaluation.summary import summarise
from semask_cli.io.files import write_atomically
from semask_cli.io.source_states import SourceStates


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to evaluate, and how: the samples of `selection`, in `definition` (see metrics.DEFINITIONS).

    Finished images are recorded in the folder `journal`, in file `journal_number`; predicted masks (palette PNGs) are
    written to `mask_dir`. The processes of `world` share the images; only rank 0 writes. With `merged`, nothing is
    predicted: all images are in the journals of these folders. `boundaries` and `calibration` (of a model only) request
    the counts of `evaluation.boundaries` and `evaluation.calibration`.
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
    """Callbacks for the progress of an evaluation, in the first process; `remaining` images are left to count."""

    def started(self, plan: Plan) -> None:
        """The dataset is checked and the model loaded."""

    def resumed(self, records: Sequence[Record], remaining: int) -> None:
        """These records were in the journal."""

    def damaged(self, lines: int) -> None:
        """Some lines of the journal are damaged; their images are evaluated again."""

    def counted(self, record: Record, remaining: int) -> None:
        """A record has been added."""


def run(plan: Plan, source: Source, *, progress: Progress | None = None) -> Evaluation:
    """Evaluate the samples that are not in the journal, and summarise all. Each process returns the same evaluation.

    Raises:
        DatasetError: a label or mask cannot be read, holds values that are not classes, or has the wrong size.
        ImageError: an image cannot be read.
        UsageError: the journal has other settings.
        OutputError: the journal or a mask cannot be written.
    """
    begun = time.monotonic()
    world, classes = plan.world, len(plan.dataset.classes)
    settings = json.loads(
        json.dumps(evaluation_settings(plan.dataset, source, boundaries=plan.boundaries, calibration=plan.calibration))
    )
    if changed := differing_settings(world.share(settings), settings):
        raise UsageError(f"the processes of this run differ: {changed}", "Start all with the same options.")
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
    whole = is_published_split(plan.dataset.spec, plan.dataset.split) and not plan.selection.partial
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
        run=run_facts(settings, begun=begun, processes=world.size, counted=counted, masks=plan.mask_dir),
    )


def evaluation_settings(
    dataset: Dataset, source: Source, *, boundaries: bool = False, calibration: bool = False
) -> Settings:
    """All that the counts of an image depend on, besides its files; and the optional counts requested."""
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
    advice = "Name the dataset, --boundaries and --calibration as the runs did, and only their journals."
    contents = read_journals(plan.merged, settings, classes=len(plan.dataset.classes), advice=advice)
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
    """The records of the samples, sorted by id (from the journal, if their files are unchanged, or new), and the number
    of images that this process has counted.

    Processes without a journal send their counts to the one that has it, and return no records.
    """
    world, by_id = plan.world, {sample.id: sample for sample in plan.selection.samples}
    pending, stale = _pending(plan, source, journal, progress) if journal else ([], set())
    pending = world.share(pending)
    recorder = _Recorder(plan, journal, progress, remaining=len(pending))
    assigned = [by_id[id] for id in pending[world.rank :: world.size]]
    counting = Counting(
        classes=plan.dataset.classes,
        encoding=plan.dataset.encoding,
        boundaries=plan.boundaries,
        calibration=plan.calibration,
        masks=plan.mask_dir is not None,
    )
    with world.gathering(recorder.receive):
        if isinstance(source, CountedElsewhere):
            for counted in source.counted(assigned, counting):
                recorder.keep(counted)
        else:
            _count_here(counting, source, assigned, recorder.keep)
    if not journal:
        return [], len(assigned)
    records = {record.id: record for record in journal.read().records if (record.id, record.files) not in stale}
    if lost := by_id.keys() - records.keys():
        raise OutputError(
            f"the journal {plan.journal} lacks {len(lost)} images that were evaluated, such as {min(lost)}",
            "The journal or the files were changed meanwhile. Start the same command again.",
        )
    return [records[key] for key in sorted(by_id)], len(assigned)


def _pending(
    plan: Plan, source: Source, journal: Journal, progress: Progress | None
) -> tuple[list[str], set[tuple[str, str]]]:
    """The ids of the samples still to count; and (id, files) of the records whose files have changed."""
    contents, by_id = journal.read(), {sample.id: sample for sample in plan.selection.samples}
    current, stale = _sort_out(contents.records, plan.selection.samples, source)
    done = {key: record for key, record in current.items() if _has_mask(plan, by_id[key], record)}
    pending = [id for id in by_id if id not in done]
    if progress:
        if contents.damaged:
            progress.damaged(contents.damaged)
        progress.resumed(tuple(done.values()), len(pending))
    return pending, stale


def _count_here(counting: Counting, source: Source, samples: Sequence[Sample], keep: Callable[[Counted], None]) -> None:
    """Count and keep each image while the next one is predicted."""
    states = SourceStates()

    def to_read() -> Iterator[Sample]:
        for sample in samples:
            states.record(sample.id, source.file_of(sample))
            yield sample

    def count(sample: Sample, predicted: NDArray[np.uint8], scores: NDArray[np.float32] | None) -> None:
        file, read_state = source.file_of(sample), states.take(sample.id)
        keep(counting.count(sample, predicted, scores, file=file, read_state=read_state))

    with ThreadPoolExecutor(1) as worker:
        last: Future[None] | None = None
        for sample, prediction in zip(samples, counting.predictions(source, to_read()), strict=True):
            if last:
                last.result()
            last = worker.submit(count, sample, *prediction)
        if last:
            last.result()


class _Recorder:
    """Writes the mask and the record of each counted image, from this or another process.

    Without a journal, it sends them to the process that has it.
    """

    def __init__(self, plan: Plan, journal: Journal | None, progress: Progress | None, *, remaining: int) -> None:
        self._plan, self._journal, self._progress, self._remaining = plan, journal, progress, remaining
        self._samples = {sample.id: sample for sample in plan.selection.samples}
        self._lock = Lock()

    def receive(self, message: bytes) -> None:
        self.keep(Counted.of_message(message, classes=len(self._plan.dataset.classes)))

    def keep(self, counted: Counted) -> None:
        if not self._journal:
            self._plan.world.send(counted.to_message())
            return
        record = counted.record
        if self._plan.mask_dir:
            write_atomically(mask_path(self._plan.mask_dir, self._samples[record.id]), counted.mask)
        self._journal.append(record)
        with self._lock:
            self._remaining -= 1
            if self._progress:
                self._progress.counted(record, self._remaining)


def _sort_out(
    records: Sequence[Record], samples: Sequence[Sample], source: Source
) -> tuple[dict[str, Record], set[tuple[str, str]]]:
    """The records whose files are unchanged, by id; and (id, files) of those whose files have changed."""
    recorded = {record.id for record in records}
    digests = {sample.id: files_digest(sample, source.file_of(sample)) for sample in samples if sample.id in recorded}
    current = {record.id: record for record in records if digests.get(record.id) == record.files}
    stale = {(record.id, record.files) for record in records if digests.get(record.id) != record.files}
    return current, stale


def mask_path(folder: Path, sample: Sample) -> Path:
    """The path of a sample's predicted mask."""
    return folder / f"{sample.id}.png"


def _has_mask(plan: Plan, sample: Sample, record: Record) -> bool:
    """Whether the counted mask exists, if masks are saved; the file may be from another run."""
    if not plan.mask_dir:
        return True
    try:
        return labels_digest(read_values(mask_path(plan.mask_dir, sample)).astype(np.uint8)) == record.predicted
    except DatasetError:
        return False
