"""`semask eval`: mIoU of a model, or of masks that any program wrote, on a dataset folder."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from semask_cli.cli import dataset_options, eval_output
from semask_cli.cli.model_options import ModelOptions, with_model_options
from semask_cli.errors import DatasetError, UsageError
from semask_cli.zoo import load_zoo

if TYPE_CHECKING:
    from semask_cli.datasets import Dataset
    from semask_cli.evaluation.processes import Team
    from semask_cli.evaluation.selection import Selection
    from semask_cli.evaluation.sources import MaskFolder, ModelSource, Source

_LABELS_READ_FIRST = 20  # labels whose values are looked at before the run
_MASKS, _FIGURES, _RUN = "Masks of other programs", "Figures", "The run"


@with_model_options
def evaluate(
    *,
    look: ModelOptions,
    root: dataset_options.Root = None,
    split: dataset_options.Split = None,
    images: dataset_options.Images = None,
    labels: dataset_options.Labels = None,
    class_file: dataset_options.ClassFile = None,
    label_coding: dataset_options.LabelCoding = None,
    pred: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel=_MASKS, help="Score these masks (grey or palette PNGs)."),
    ] = None,
    pred_coding: Annotated[
        str,
        typer.Option(
            metavar="CODING",
            rich_help_panel=_MASKS,
            help="How they are written: trainIds (class indices), labelIds or reduce-zero.",
        ),
    ] = "trainIds",
    definition: Annotated[
        Literal["mmseg", "detectron2", "cityscapes"] | None,
        typer.Option(rich_help_panel=_FIGURES, help="Of mIoU; unless given, the one the model was published with."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", rich_help_panel=_FIGURES, help="Print one JSON document.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", rich_help_panel=_FIGURES, help="Print the classes as comma-separated values.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel=_FIGURES, help="Write a page to read, and JSON and CSV beside it."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", rich_help_panel=_RUN, help="A quick look: N images only.")
    ] = None,
    shuffle_seed: Annotated[
        int | None,
        typer.Option(metavar="SEED", rich_help_panel=_RUN, help="Draw the images of --limit at random."),
    ] = None,
    allow_missing: Annotated[
        int, typer.Option(min=0, metavar="N", rich_help_panel=_RUN, help="Go on without up to N missing files.")
    ] = 0,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel=_RUN, help="Where images that are done are noted."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", rich_help_panel=_RUN, help="Begin again, whatever the journal holds.")
    ] = False,
    save_pred: Annotated[
        Path | None, typer.Option(metavar="DIR", rich_help_panel=_RUN, help="Write the predicted masks here.")
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(metavar="ZIP", rich_help_panel=_RUN, help="Write the masks for the benchmark's server."),
    ] = None,
) -> None:
    """Evaluate a model, or masks that any program wrote (--pred), on a dataset folder.

    A killed run goes on where it was when it is started again.

    Processes share the images under torchrun, and the figures stay the same to the last bit: `torchrun
    --nproc-per-node 4 -m semask_cli eval …`. (On CPUs give every run the same --threads: the last bit of a sum depends
    on how many threads make it.)
    """
    if pred and (look.model or look.checkpoint):
        raise UsageError("--pred scores masks and --model runs a model", "Name one of them.")
    if as_json and as_csv:
        raise UsageError("--json and --csv both print on stdout", "Ask for one of them.")
    if shuffle_seed is not None and limit is None:
        raise UsageError("--shuffle-seed draws the images of --limit", "Give --limit N with it.")
    spec = None if pred else load_zoo(look.zoo).find(look.model, dataset=look.dataset)
    chosen = dataset_options.chosen_dataset(
        None if class_file else look.dataset or (spec.dataset if spec else None),
        root=root,
        split=split,
        images=images,
        labels=labels,
        class_file=class_file,
        coding=label_coding,
    )
    if spec and spec.num_classes != len(chosen.classes):
        raise UsageError(f"{spec.name} knows {spec.num_classes} classes, {chosen.name} has {len(chosen.classes)}")
    if submission:
        from semask_cli.evaluation.submission import submission_coding

        submission_coding(chosen)  # refuses a dataset without a server before the work is done
    from semask_cli.evaluation.journal import forget
    from semask_cli.evaluation.processes import team as join_team
    from semask_cli.evaluation.runner import evaluate as run
    from semask_cli.evaluation.selection import select

    with join_team() as team:
        if team.rank == 0:
            _refuse_defects(chosen, allow_missing=allow_missing + (len(chosen.unlabelled) if submission else 0))
        source = _masks(chosen, pred, pred_coding) if pred else _model(look, team)
        selection = select(
            chosen,
            unpredicted=source.missing,
            limit=limit,
            shuffle_seed=shuffle_seed,
            unlabelled_too=submission is not None,
        )
        if source.missing and selection.missing > allow_missing:
            raise DatasetError(
                f"{len(source.missing)} of {len(chosen.samples)} images have no mask in {pred}",
                f"The first is {source.missing[0].id}. Complete them, or go on without: --allow-missing N.",
            )
        book = journal or _default_journal(chosen, source)
        masks_to = save_pred or (book / "masks" if submission and not pred else None)
        if team.rank == 0:
            if fresh:
                forget(book)
            print(f"journal: {book}", file=sys.stderr)
        team.wait()
        wanted = definition or source.definition
        with eval_output.Watcher(chosen, selection, wanted, team=team) as watcher:
            evaluation = run(
                chosen,
                selection,
                source,
                journal=book,
                definition=wanted,
                masks_to=masks_to,
                team=team,
                observer=watcher,
            )
    if team.rank > 0:
        return
    if submission:
        _submit(submission, chosen, selection, _masks(chosen, masks_to, "trainIds") if masks_to else source)
    if report:
        from semask_cli.evaluation.report import write_report

        print(f"report: {write_report(report, evaluation, chosen, source)}", file=sys.stderr)
    if as_json:
        print(json.dumps(evaluation.to_json(), ensure_ascii=False, indent=1))
    elif as_csv:
        print(evaluation.to_csv(), end="")
    else:
        eval_output.print_evaluation(evaluation)


def _refuse_defects(dataset: Dataset, *, allow_missing: int) -> None:
    """Look at every header and some labels; what would falsify the figure or stop the run ends it here."""
    from semask_cli.cli.check import counted
    from semask_cli.datasets.check import DEFECTS, check

    fatal = check(dataset, label_limit=_LABELS_READ_FIRST).fatal(allow_missing=allow_missing)
    if fatal:
        lines = [f"{f.kind}: {DEFECTS[f.kind]}\n  {f.examples[0]}" for f in fatal]
        raise DatasetError(f"{dataset.name} is not ready: {counted(fatal)}", "\n".join(lines))


def _masks(dataset: Dataset, folder: Path, coding: str) -> MaskFolder:
    from semask_cli.evaluation.sources import MaskFolder

    codings = dataset.classes.codings
    if coding not in codings:
        raise UsageError(f"{dataset.name} has no coding {coding!r}", f"Its codings: {', '.join(codings)}.")
    return MaskFolder(folder, dataset.samples, codings[coding])


def _model(look: ModelOptions, team: Team) -> ModelSource:
    """The model; of several processes on a machine each takes a GPU of its own."""
    import torch

    from semask_cli.evaluation.sources import ModelSource

    if team.size > 1 and look.device in ("auto", "cuda") and torch.cuda.is_available():
        look = replace(look, device=f"cuda:{team.local_rank % torch.cuda.device_count()}")
    return ModelSource(look.load())


def _submit(path: Path, dataset: Dataset, selection: Selection, source: Source) -> None:
    from semask_cli.evaluation.submission import write_submission

    write_submission(path, dataset, selection.samples, source.labels(selection.samples))
    print(f"submission: {path}, {len(selection.samples)} masks, read back and equal", file=sys.stderr)


def _default_journal(dataset: Dataset, source: Source) -> Path:
    """A place of its own for each combination of dataset, source and settings."""
    from semask_cli.evaluation.journal import settings_digest
    from semask_cli.evaluation.runner import evaluation_settings
    from semask_cli.io.cache import cache_folder

    digest = settings_digest(evaluation_settings(dataset, source))
    name = "-".join(filter(None, (source.title, dataset.name, dataset.split, digest)))
    return cache_folder() / "evaluations" / name
