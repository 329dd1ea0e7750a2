"""An evaluation from end to end: check the dataset, select images, run or resume, write the outputs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semask_cli.datasets.check import refuse_defects
from semask_cli.datasets.folders import Dataset, as_dataset
from semask_cli.datasets.spec import CLASS_INDICES, Definition
from semask_cli.distributed.shards import Shard
from semask_cli.distributed.world import World
from semask_cli.errors import DatasetError, OutputError, UsageError
from semask_cli.evaluation.journal import default_journal, forget, journal_file, journal_files, journal_folders
from semask_cli.evaluation.metrics import DEFINITIONS
from semask_cli.evaluation.results import Evaluation
from semask_cli.evaluation.runner import Plan, Progress, evaluation_settings, mask_path, run
from semask_cli.evaluation.selection import select
from semask_cli.evaluation.sources import ModelSource, Source, as_source
from semask_cli.evaluation.submission import submission_encoding, submission_names, write_submission
from semask_cli.io.files import refuse_address
from semask_cli.io.overwriting import refuse_replacing

if TYPE_CHECKING:
    from semask_cli.inference.segmenter import Segmenter

LABELS_CHECKED = 20
"""Labels that are read before a run, evenly spread over the split."""


def evaluate(
    dataset: Dataset | str,
    source: Segmenter | ModelSource | str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    mask_encoding: str = CLASS_INDICES,
    definition: Definition | None = None,
    boundaries: bool = False,
    calibration: bool = False,
    limit: int | None = None,
    shuffle_seed: int | None = None,
    allow_missing: int = 0,
    journal: str | os.PathLike[str] | None = None,
    fresh: bool = False,
    shard: Shard | None = None,
    merge: Sequence[str | os.PathLike[str]] = (),
    save_pred: str | os.PathLike[str] | None = None,
    submission: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    world: World | None = None,
) -> Evaluation:
    """Evaluate a model, or masks written by any program, on a dataset.

        segmenter = semask_cli.load("swin-t-fpn")
        semask_cli.evaluate("ade20k", segmenter, root="/data").miou

    Finished images are recorded in a journal, from which an interrupted run resumes.

    Args:
        dataset: a Dataset, or the name of a published one, found below `root` (or $SEMASK_DATA, $DETECTRON2_DATASETS).
        source: a segmenter, or a folder of masks: grey or palette PNGs named like the images.
        root: the folder in which a dataset given by name lies.
        split: of a dataset given by name; by default the one of the published figures.
        mask_encoding: of masks in a folder: "trainIds" (class indices), or another encoding of the dataset.
        definition: of mIoU: "mmseg", "detectron2" or "cityscapes"; by default that of the model's published figure, or
            the usual one of the dataset for a folder of masks.
        boundaries: measure Boundary IoU and the recall of objects by size too (see `evaluation.boundaries`).
        calibration: measure the calibration of the model's scores too (see `evaluation.calibration`).
        limit: evaluate only so many images, the first ones unless there is a `shuffle_seed`.
        shuffle_seed: draw the images of `limit` at random.
        allow_missing: accepted number of images without label or prediction, and labels without image.
        journal: the folder of the journal; by default one in the cache for each dataset, source and settings.
        fresh: discard the journal and start over.
        shard: evaluate only this part of the images, into its own file of the journal.
        merge: combine these journals, which must have all images; nothing is run.
        save_pred: a folder for the predicted masks (palette PNGs of class indices).
        submission: a ZIP file for the masks in the encoding of the benchmark's server; images without a label are
            predicted too.
        report: a folder for an HTML page, with the figures as JSON and CSV.
        progress: callbacks for progress.
        world: the processes that share the images under torchrun (`distributed.world.join_world`). Each returns the
            same evaluation, and the first one writes.

    Raises:
        UsageError: arguments that exclude each other, or a journal with other settings.
        DatasetError: images or labels are missing, damaged, or hold values that are not classes.
        ImageError: an image cannot be read.
        OutputError: a file cannot be written, or would replace one that is read.
    """
    if definition and definition not in DEFINITIONS:
        raise UsageError(f"there is no definition of mIoU {definition!r}", f"There are {', '.join(DEFINITIONS)}.")
    if limit is not None and not (isinstance(limit, int) and limit >= 1):
        raise UsageError(f"a limit of {limit!r} images", "Give the number of images to evaluate, or leave it out.")
    if shuffle_seed is not None and limit is None:
        raise UsageError("a shuffle seed draws the images of a limit", "Give a limit too.")
    if merge and (journal or shard or fresh or save_pred or submission):
        raise UsageError(
            "merging journals runs nothing",
            "Leave out journal, shard, fresh, save_pred and submission.",
        )
    if isinstance(merge, str | os.PathLike):
        raise UsageError(f"merge takes several journals, not only {merge}", "Give a list.")
    for name, path in {"journal": journal, "save_pred": save_pred, "submission": submission, "report": report}.items():
        refuse_address(str(path), name)
    world = world or World()
    dataset = as_dataset(dataset, root=root, split=split)
    predictions = as_source(source, dataset, mask_encoding=mask_encoding)
    if calibration and not isinstance(predictions, ModelSource):
        raise UsageError("masks have no scores", "Calibration is measured only for a model.")
    if submission:
        submission_encoding(dataset)  # refuses a dataset without a server before the work is done
    if world.rank == 0:
        unlabelled = len(dataset.unlabelled) if submission else 0
        refuse_defects(dataset, label_limit=LABELS_CHECKED, allow_missing=allow_missing + unlabelled)
    selection = select(
        dataset,
        unpredicted=predictions.missing,
        limit=limit,
        shuffle_seed=shuffle_seed,
        unlabelled_too=submission is not None,
        shard=shard,
    )
    if predictions.missing and selection.missing > allow_missing:
        raise DatasetError(
            f"{len(predictions.missing)} of {len(dataset.samples)} images have no mask in {source}",
            f"The first is {predictions.missing[0].id}. Complete them, or accept it: --allow-missing N.",
        )
    settings = evaluation_settings(dataset, predictions, boundaries=boundaries, calibration=calibration)
    journals = tuple(journal_folders(merge))
    journal = Path(journal) if journal else journals[0] if journals else default_journal(predictions.title, settings)
    mask_dir = save_pred or (journal / "masks" if submission and isinstance(predictions, ModelSource) else None)
    plan = Plan(
        dataset=dataset,
        selection=selection,
        definition=definition or predictions.definition,
        journal=journal,
        journal_number=shard.index if shard else 0,
        merged=journals,
        mask_dir=Path(mask_dir) if mask_dir else None,
        boundaries=boundaries,
        calibration=calibration,
        world=world,
    )
    written = {"submission": Path(submission) if submission else None, "report": Path(report) if report else None}
    if world.rank == 0:
        refuse_replacing(_output_files(plan, **written), _input_files(dataset, predictions))
        if plan.mask_dir:
            _refuse_becoming_inputs((mask_path(plan.mask_dir, sample) for sample in selection.samples), dataset)
        if fresh:
            forget(journal)
    evaluation = run(plan, predictions, progress=progress)
    if world.rank == 0:
        _write(evaluation, plan, predictions, **written)
    return evaluation


def _refuse_becoming_inputs(masks: Iterable[Path], dataset: Dataset) -> None:
    """Refuse masks in a folder of images or labels.

    Raises:
        OutputError: the same evaluation would find other images or labels the next time.
    """
    read = {path.parent for sample in dataset.samples for path in (sample.image, sample.label) if path}
    searched = set(map(os.path.realpath, read))
    for folder in {mask.parent for mask in masks}:
        if os.path.realpath(folder) in searched:
            raise OutputError(
                f"{folder} is searched for images or labels: masks written there would be found the next time",
                "Name another folder with --save-pred.",
            )


def _output_files(plan: Plan, *, submission: Path | None, report: Path | None) -> Iterator[Path]:
    """All files that the evaluation will write or remove."""
    samples = plan.selection.samples
    if not plan.merged:
        yield from {*journal_files(plan.journal), journal_file(plan.journal, plan.journal_number)}
    if plan.mask_dir:
        yield from (mask_path(plan.mask_dir, sample) for sample in samples)
    if submission:
        submission_names(samples)  # refuses names that the file cannot hold
        yield submission
    if report:
        from semask_cli.evaluation.report import REPORT_FILES  # imports jinja2

        yield from (report / name for name in REPORT_FILES)


def _write(
    evaluation: Evaluation, plan: Plan, predictions: Source, *, submission: Path | None, report: Path | None
) -> None:
    if submission:
        masks = as_source(plan.mask_dir, plan.dataset) if plan.mask_dir else predictions
        samples = plan.selection.samples
        write_submission(submission, plan.dataset, samples, masks.labels(samples))
    if report:
        from semask_cli.evaluation.report import write_report  # imports jinja2

        write_report(report, evaluation, plan.dataset, predictions)


def _input_files(dataset: Dataset, source: Source) -> Iterator[Path]:
    """All files that the evaluation reads, or would read with another selection."""
    for sample in dataset.samples:
        yield from filter(None, (sample.image, sample.label, sample.instances))
    yield from (*dataset.orphans, *source.files, *filter(None, (dataset.classes.file, dataset.listed)))
