"""`semask eval`: mIoU of a model, or of masks that any program wrote, on a dataset folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semask_cli.cli.dataset_options import DatasetOptions
from semask_cli.cli.eval_output import EvaluationProgress, print_evaluation, verify_result
from semask_cli.cli.model_options import ModelOptions
from semask_cli.cli.option_groups import with_option_groups
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
            help="How they are written: trainIds (class indices), labelIds or reduce-zero.",
        ),
    ] = CLASS_INDICES,
    definition: Annotated[
        Definition | None,
        typer.Option(rich_help_panel=_FIGURES, help="Of mIoU; unless given, the one the model was published with."),
    ] = None,
    boundaries: Annotated[
        bool,
        typer.Option(
            "--boundaries", rich_help_panel=_FIGURES, help="Boundary IoU, and the recall of objects by size, too."
        ),
    ] = False,
    calibration: Annotated[
        bool,
        typer.Option("--calibration", rich_help_panel=_FIGURES, help="How far the model's scores can be trusted, too."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", rich_help_panel=_FIGURES, help="Print one JSON document.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", rich_help_panel=_FIGURES, help="Print the classes as comma-separated values.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel=_FIGURES, help="Write a page to read, and JSON and CSV beside it."),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(metavar="FILE", rich_help_panel=_FIGURES, help="Run nothing: check whether this result holds."),
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
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=_RUN,
            help="Predict and count on this Ray cluster; local starts one on this machine, auto finds the one it"
            " belongs to.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", rich_help_panel=_RUN, help="Only this part of the images, into the --journal."),
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_RUN,
            help="Run nothing: sum up the journals in this folder, and in those below it. May be given several times.",
        ),
    ] = None,
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

    --verify FILE recomputes the figures of a result from its own counts and from the journal (of the cache, or
    --journal), and with --root or --images checks the files too. Where anything differs it says what, and exits with
    code 31.

    Processes share the images under torchrun, on one machine or on several that share no disk, and the figures stay the
    same to the last bit: `torchrun --nproc-per-node 4 -m semask_cli eval …`. Jobs that do not know each other divide
    them with --shard and --journal, and --merge sums up. (On CPUs give every run the same --threads: the last bit of a
    sum depends on how many threads make it.)
    """
    how_run = replace(options, dataset=None)
    if verify:
        if as_json or as_csv or report or pred or merge or how_run != ModelOptions():
            raise UsageError("--verify runs nothing and prints what holds", "Give it --journal, or a dataset, alone.")
        located = dataset_options.root or dataset_options.images
        verify_result(verify, journal=journal, dataset=dataset_options.find() if located else None)
        return
    if pred and how_run != ModelOptions():
        raise UsageError("--pred scores masks and runs no model", "Leave out the model, and how it is run.")
    if pred_coding != CLASS_INDICES and not pred:
        raise UsageError("--pred-coding is of the masks of --pred", "Name their folder.")
    if ray and (pred or merge):
        raise UsageError("--ray runs a model", "Leave out --pred and --merge.")
    if as_json and as_csv:
        raise UsageError("--json and --csv both print on stdout", "Ask for one of them.")
    if shuffle_seed is not None and limit is None:
        raise UsageError("--shuffle-seed draws the images of --limit", "Give --limit N with it.")
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
    """The model that is run here or on the cluster `ray`, which `stack` leaves; or that journals to `merge` are of."""
    from semask_cli.evaluation.journal import journal_folders
    from semask_cli.evaluation.sources import JournalSource, ModelSource

    zoo = load_zoo(options.zoo)
    if merge:
        return JournalSource.of(journal_folders(merge)[0], zoo, model=options.model)
    spec = zoo.find(options.model, dataset=options.dataset)
    if ray:
        from semask_cli.evaluation.cluster_source import ClusterSource
        from semask_cli.ray import cluster

        stack.enter_context(cluster(ray))
        return ClusterSource(spec, options.on_cluster())
    load = replace(options, device=world.device(options.device)).load
    return ModelSource(spec, load, files=filter(None, (options.checkpoint, options.zoo)))
