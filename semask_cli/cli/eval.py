"""`semask eval`: mIoU of a model, or of masks written by any program, on a dataset."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semask_cli.cli.dataset_options import DatasetOptions
from semask_cli.cli.eval_output import EvaluationProgress, print_evaluation, verify_result
from semask_cli.cli.model_options import ModelOptions
from semask_cli.cli.option_groups import refuse_options, with_option_groups
from semask_cli.datasets.spec import CLASS_INDICES, Definition
from semask_cli.distributed.shards import Shard
from semask_cli.errors import UsageError
from semask_cli.zoo import load_zoo

if TYPE_CHECKING:
    from semask_cli.distributed.world import World
    from semask_cli.evaluation.sources import ModelSource

_MASKS, _FIGURES, _RUN = "Masks of other programs", "Figures", "The run"


@with_option_groups
def evaluate(
    context: typer.Context,
    *,
    options: ModelOptions,
    dataset_options: DatasetOptions,
    pred: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel=_MASKS, help="Score these masks (grey or palette PNGs)."),
    ] = None,
    pred_coding: Annotated[
        str,
        typer.Option(
            metavar="CODING",
            rich_help_panel=_MASKS,
            help="Encoding of these masks: trainIds (class indices), labelIds or reduce-zero.",
        ),
    ] = CLASS_INDICES,
    definition: Annotated[
        Definition | None,
        typer.Option(
            rich_help_panel=_FIGURES, help="Definition of mIoU; by default that of the model's published figure."
        ),
    ] = None,
    boundaries: Annotated[
        bool,
        typer.Option(
            "--boundaries",
            rich_help_panel=_FIGURES,
            help="Measure Boundary IoU too, and the recall of objects by size.",
        ),
    ] = False,
    calibration: Annotated[
        bool,
        typer.Option(
            "--calibration", rich_help_panel=_FIGURES, help="Measure the calibration of the model's scores too."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", rich_help_panel=_FIGURES, help="Print one JSON document.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", rich_help_panel=_FIGURES, help="Print the classes as comma-separated values.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel=_FIGURES, help="Write an HTML page here, with JSON and CSV."),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_FIGURES,
            help="Run nothing: verify this result of --json, or the folder of a --report.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", rich_help_panel=_RUN, help="Evaluate only N images.")
    ] = None,
    shuffle_seed: Annotated[
        int | None,
        typer.Option(
            metavar="SEED", rich_help_panel=_RUN, help="Draw the images of --limit at random, with this seed."
        ),
    ] = None,
    allow_missing: Annotated[
        int, typer.Option(min=0, metavar="N", rich_help_panel=_RUN, help="Accept up to N missing files.")
    ] = 0,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel=_RUN, help="Folder that records the finished images."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", rich_help_panel=_RUN, help="Discard the journal and start over.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=_RUN,
            help="Predict and count on this Ray cluster: an address, auto for this machine's cluster, or local to start"
            " one.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", rich_help_panel=_RUN, help="Evaluate only this part of the images, into --journal."
        ),
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_RUN,
            help="Run nothing: merge the journals in this folder and its sub-folders. Repeatable.",
        ),
    ] = None,
    save_pred: Annotated[
        Path | None, typer.Option(metavar="DIR", rich_help_panel=_RUN, help="Write the predicted masks here.")
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(metavar="ZIP", rich_help_panel=_RUN, help="Write a submission for the benchmark's server."),
    ] = None,
) -> None:
    """Evaluate a model, or masks written by any program (--pred), on a dataset.

    A killed run resumes when it is started again.

    --verify FILE recomputes the figures of a result from its own counts and from its journal (in the cache, or
    --journal); with a dataset (-d, or --images) it checks the files too. It prints any difference and exits with
    code 31.

    Under torchrun, processes share the images, on one machine or several without a shared disk, and the figures are
    the same to the last bit: `torchrun --nproc-per-node 4 -m semask_cli eval …`. Independent jobs divide the images
    with --shard and --journal; --merge combines them. (On CPUs, give every run the same --threads: the last bit of a
    sum depends on the number of threads.)
    """
    if verify:
        every = {str(parameter.name) for parameter in context.command.params}
        read = {"verify", "journal", *(field.name for field in fields(DatasetOptions))}
        refuse_options(context, "--verify", every - read, "Give only --journal or a dataset with it.")
        verify_result(verify, journal=journal, dataset=dataset_options.find_if_named())
        return
    if pred and replace(options, dataset=None) != ModelOptions():
        raise UsageError("--pred scores masks and runs no model", "Leave out the options of the model.")
    if pred_coding != CLASS_INDICES and not pred:
        raise UsageError("--pred-coding needs --pred", "Name the folder of the masks.")
    if ray and (pred or merge):
        raise UsageError("--ray runs a model", "Leave out --pred and --merge.")
    if merge and not report:
        how_run = {field.name for field in fields(ModelOptions)} - {"model", "dataset", "zoo"}
        refuse_options(
            context, "--merge", how_run, "The journals know it. With --report, the model runs for the images shown."
        )
    if as_json and as_csv:
        raise UsageError("--json and --csv both print to stdout", "Give one of them.")
    if shuffle_seed is not None and limit is None:
        raise UsageError("--shuffle-seed draws the images of --limit", "Add --limit N.")
    from semask_cli.distributed.world import join_world
    from semask_cli.evaluation.evaluate import evaluate as run_evaluation
    from semask_cli.evaluation.results import document_text

    with ExitStack() as stack, join_world() as world, EvaluationProgress() as progress:
        source = pred or _model_source(options, ray=ray, merge=merge or (), world=world, stack=stack)
        classes_of = options.dataset or (None if isinstance(source, Path) else source.spec.dataset)
        evaluation = run_evaluation(
            replace(dataset_options, dataset=None if dataset_options.class_file else classes_of).find(),
            source,
            mask_encoding=pred_coding,
            definition=definition,
            boundaries=boundaries,
            calibration=calibration,
            limit=limit,
            shuffle_seed=shuffle_seed,
            allow_missing=allow_missing,
            journal=journal,
            fresh=fresh,
            shard=Shard.parse(shard) if shard is not None else None,
            merge=merge or (),
            save_pred=save_pred,
            submission=submission,
            report=report,
            progress=progress,
            world=world,
        )
    if world.rank > 0:
        return
    if submission:
        print(f"submission: {submission}, {evaluation.images} masks, read back and equal", file=sys.stderr)
    if report:
        print(f"report: {report / 'report.html'}", file=sys.stderr)
    if as_json:
        print(document_text(evaluation.to_json()))
    elif as_csv:
        print(evaluation.to_csv(), end="")
    else:
        print_evaluation(evaluation)


def _model_source(
    options: ModelOptions, *, ray: str | None, merge: Sequence[Path], world: World, stack: ExitStack
) -> ModelSource:
    """The model, here or on the cluster `ray` (which `stack` leaves), or the one whose journals are merged."""
    from semask_cli.evaluation.journal import journal_folders
    from semask_cli.evaluation.sources import JournalSource, ModelSource, journal_model

    zoo = load_zoo(options.zoo)
    options = replace(options, device=world.device(options.device))
    files = tuple(filter(None, (options.checkpoint, options.zoo)))
    if merge:
        spec, settings = journal_model(journal_folders(merge)[0], zoo, model=options.model)
        return JournalSource(spec, settings, replace(options, model=spec.name).load, files=files)
    spec = zoo.find(options.model, dataset=options.dataset)
    if ray:
        from semask_cli.evaluation.cluster_source import ClusterSource
        from semask_cli.ray import cluster

        stack.enter_context(cluster(ray))
        return ClusterSource(spec, options.on_cluster())
    return ModelSource(spec, options.load, files=files)
