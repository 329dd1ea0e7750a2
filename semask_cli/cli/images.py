"""`semask predict` for images: a line on stdout and files for each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from semask_cli.cli.model_options import ModelOptions
from semask_cli.cli.predict_options import ImageRunOptions
from semask_cli.cli.printing import print_json
from semask_cli.cli.reporting import counting, report
from semask_cli.distributed.shards import Shard
from semask_cli.distributed.world import world_of_torchrun
from semask_cli.errors import ImageError, SemaskError, UsageError, printable
from semask_cli.output.percentages import format_share

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from semask_cli.distributed.answers import Outputs
    from semask_cli.distributed.prediction import Outcome, Run
    from semask_cli.io.storage import Place
    from semask_cli.output.class_shares import ClassShare
    from semask_cli.output.kinds import Kind

SHOWN_CLASSES = 5  # of an image, on its line on the terminal


def predict_images(
    inputs: list[str], *, options: ModelOptions, outputs: Outputs, output: str, run: ImageRunOptions
) -> None:
    """Segment images into the folder, store or Parquet file `output`.

    Raises:
        SemaskError: options exclude each other; otherwise as `distributed.prediction`.
        Exit: an image could not be segmented; the others were.
    """
    from rich.console import Console

    from semask_cli.distributed.parts import Parts
    from semask_cli.distributed.prediction import Run
    from semask_cli.distributed.run_journal import RunJournal
    from semask_cli.distributed.table import is_table, parts_folder
    from semask_cli.io.manifest import Inputs
    from semask_cli.io.storage import place
    from semask_cli.output.gallery import with_previews, write_gallery
    from semask_cli.output.paths import plan_outputs

    world, target = world_of_torchrun(), place(output)
    table = target if is_table(target) else None
    folder = parts_folder(table) if table else target
    _refuse_contradictions(inputs, run, table=table, processes=world.size)
    read = [path for path in (options.checkpoint, options.zoo, run.manifest) if path]
    _refuse_outputs(inputs, run, folder=folder, table=table, kinds=outputs.kinds, read=read)
    part = (Shard.parse(run.shard) if run.shard is not None else Shard()).part(world.rank, world.size)
    named = Inputs(names=tuple(inputs), manifest=run.manifest)
    found = named.find(output=folder)
    few = list(islice(found, 2))
    alone = len(few) == 1  # of all shards, since a shard's results must not depend on their number
    entries = (entry for entry in chain(few, found) if part.holds(entry.id))
    tasks = plan_outputs(entries, folder, () if run.format else outputs.kinds, read=read)
    if run.gallery:
        if "preview" in outputs.kinds:
            raise UsageError("--report writes the previews into its own folder", "Leave preview out of --save.")
        outputs = replace(outputs, kinds=(*outputs.kinds, "preview"))
        tasks = with_previews(tasks, run.gallery)
    first = list(islice(tasks, 1))  # problems with the first inputs are reported before the model is loaded

    def begin(settings: Mapping[str, Any]) -> Run:
        if run.as_json:
            return Run(chain(first, tasks), alone=alone)
        settings = {**settings, **outputs.settings} | ({"format": run.format} if run.format else {})
        journal = RunJournal(folder, settings, shard=part, fresh=run.fresh)
        journal.note_inputs(named)
        parts = Parts(folder, run.format, outputs.kinds, journal=journal) if run.format else None
        return Run(chain(first, tasks), alone=alone, journal=journal, parts=parts)

    results = Console(soft_wrap=True, highlight=False, file=sys.stdout)
    with ExitStack() as stack:
        located = replace(options, device=world.device(options.device))
        running, outcomes = _started(begin, run, options=located, outputs=outputs, stack=stack)
        stack.callback(running.close)
        try:
            failures = _print(running, outcomes, results, as_json=run.as_json)
        finally:  # also after an error or Ctrl-C
            if run.gallery:
                print(f"all images on one page: {write_gallery(run.gallery)}", file=sys.stderr)
    if table and part.count == 1:
        running.join(table)
        print(f"all results in one file: {table}", file=sys.stderr)
    elif table and world.rank == 0:
        print(f"parts are in {folder}: the same command in one process, without --shard, joins them", file=sys.stderr)
    if failures:
        print(f"{len(failures)} of {running.images} images could not be segmented", file=sys.stderr)
        raise typer.Exit(failures[0].exit_code)


def _started(
    begin: Callable[[Mapping[str, Any]], Run],
    run: ImageRunOptions,
    *,
    options: ModelOptions,
    outputs: Outputs,
    stack: ExitStack,
) -> tuple[Run, Generator[Outcome, None, None]]:
    """The run, and its outcomes, in this process or on a cluster, which `stack` leaves.

    `begin` makes the run from the model's settings.
    """
    if run.ray:
        from semask_cli.ray import cluster, segment_on_ray

        stack.enter_context(cluster(run.ray))
        model = options.on_cluster()
        settings, palette = model.ask(lambda segmenter: (segmenter.settings, segmenter.class_set.palette))
        running = begin(settings)
        return running, segment_on_ray(running, model, outputs, palette=palette, max_pixels=run.max_pixels)
    from semask_cli.distributed.prediction import segment_here

    segmenter = options.load()
    running = begin(segmenter.settings)
    return running, segment_here(
        running, segmenter, outputs, open_stdin=_stdin, max_pixels=run.max_pixels, documents=run.as_json
    )


def _refuse_contradictions(inputs: list[str], run: ImageRunOptions, *, table: Place | None, processes: int) -> None:
    from semask_cli.io.inputs import STDIN

    if not (inputs or run.manifest):
        raise UsageError("no images are named", "Name an image, a folder, or a list of images with --manifest.")
    if run.ray == "":
        raise UsageError("--ray has no address", "Give local, auto or host:port.")
    if run.ray and STDIN in inputs:
        raise UsageError("the processes of a cluster do not have this one's stdin", "Name a file.")
    if table and run.format != "parquet":
        raise UsageError(f"{table} cannot hold tar files", "Name a folder with -o.")
    if run.format and run.gallery:
        raise UsageError("--report shows files, which --format does not write", "Give one of them.")
    if run.format and run.as_json:
        raise UsageError("--json excludes --format and .parquet outputs", "Give one of them.")
    if run.as_json and (processes > 1 or run.ray):
        raise UsageError("--json prints one document from one process", "Use --save json.")


def _refuse_outputs(
    inputs: list[str],
    run: ImageRunOptions,
    *,
    folder: Place,
    table: Place | None,
    kinds: Sequence[Kind],
    read: Sequence[Path],
) -> None:
    """Refuse outputs that would replace one of the files `read`, or become inputs of the next run."""
    from semask_cli.io.overwriting import refuse_file_as_folder, refuse_replacing
    from semask_cli.output.gallery import PAGE
    from semask_cli.output.paths import refuse_results_as_inputs

    if isinstance(table, Path):
        refuse_replacing([table], read)
    if isinstance(folder, Path):
        refuse_file_as_folder(folder)
    if run.gallery:
        refuse_replacing([run.gallery / PAGE], read)
    if not run.format:
        refuse_results_as_inputs(inputs, output=folder, kinds=kinds, page=run.gallery)


def _print(run: Run, outcomes: Generator[Outcome, None, None], results: Console, *, as_json: bool) -> list[SemaskError]:
    """Print a line per image as it is done, or one document; returns the errors of images that failed."""
    rows: list[dict[str, Any]] = []
    failures: list[SemaskError] = []
    try:
        for outcome in _progress(run, outcomes):
            name, error = outcome.task.entry.name, outcome.answer.error
            files = {kind: str(path) for kind, path in outcome.task.files.items()}
            if error:
                failures.append(error)
                rows.append({"input": name, "error": error.message, "suggestion": error.suggestion})
                if not as_json:
                    report(error)
            elif outcome.document:
                rows.append({"input": name, "files": files, **outcome.document})
            else:
                results.print(_line(name, outcome.answer.classes, None if run.parts else next(iter(files.values()))))
    finally:  # also after an error or Ctrl-C
        if as_json:
            print_json({"pictures": rows})
        if run.done_before:
            print(f"{run.done_before} of {run.images} images were done before; --fresh redoes them", file=sys.stderr)
    return failures


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise ImageError("there is no standard input to read an image from")
    return sys.stdin.buffer


def _progress(run: Run, outcomes: Generator[Outcome, None, None]) -> Iterator[Outcome]:
    with counting() as show, closing(outcomes):
        for outcome in outcomes:
            show(run.images, "predict")
            yield outcome


def _line(name: str, shares: Sequence[ClassShare], path: str | None) -> Text:
    from rich.text import Text

    line = Text(f"{printable(name)} -> {printable(path)} " if path else f"{printable(name)} ")
    for share in shares[:SHOWN_CLASSES]:
        line.append("  ")
        line.append("█ ", style="rgb({},{},{})".format(*share.colour))
        line.append(f"{share.name} {format_share(share.share)}")
    return line
