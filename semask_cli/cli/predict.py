"""`semask predict`: images in, masks out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, cast

import typer

from semask_cli.cli.model_options import ModelOptions
from semask_cli.cli.option_groups import with_option_groups
from semask_cli.cli.raster import TARGETS as RASTERS
from semask_cli.cli.raster import predict_raster
from semask_cli.cli.reporting import counting, report
from semask_cli.cli.video import predict_video
from semask_cli.distributed.shards import Shard
from semask_cli.distributed.world import world_of_torchrun
from semask_cli.errors import ImageError, SemaskError, UsageError, printable
from semask_cli.output.percentages import format_share
from semask_cli.zoo import load_zoo

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from semask_cli.distributed.answers import Outputs
    from semask_cli.distributed.prediction import Outcome, Run
    from semask_cli.output.class_shares import ClassShare
    from semask_cli.output.kinds import Kind

SHOWN_CLASSES = 5  # of an image, on its line on the terminal

SAVE_HELP = (
    "Any of mask, index, color, overlay, contour, side, legend, preview, confidence, entropy, scores, json, coco, "
    "coco-polygons, geojson, cvat, labelstudio, with commas between."
)
_RUN = "The run"


@with_option_groups
def predict(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT...", help="Images, folders, glob patterns, - for stdin; or a video."),
    ] = None,
    *,
    options: ModelOptions,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where the files go; sub-folders are kept. Of a video, a folder or .mp4; of a raster, a .tif.",
        ),
    ] = "masks",
    save: Annotated[str, typer.Option(metavar="KINDS", help=SAVE_HELP)] = "mask",
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the colours over the image.")] = 0.5,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Pixels by which outlines may be simplified, in formats of polygons.")
    ] = 0,
    top: Annotated[
        int, typer.Option(min=1, help="Classes in scores files, the best of each pixel; as many as there are is all.")
    ] = 5,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse larger images; a small file may unpack to a huge one.")
    ] = 2**28,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout; every image is segmented anew.")
    ] = False,
    format: Annotated[
        Literal["parquet", "webdataset"] | None,
        typer.Option(
            help="Collect results in few large files: Parquet tables, or WebDataset's tar files. --save none keeps the"
            " classes alone."
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            rich_help_panel=_RUN,
            help="Write a page of all images, with their overlays, here.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_RUN,
            help="A list of images: a .txt file with a path in each line, or a .csv or .parquet file with columns path"
            " and id.",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", rich_help_panel=_RUN, help="Segment anew what is done already.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=_RUN,
            help="Segment on this Ray cluster; local starts one on this machine, auto finds the one it belongs to.",
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="START:STOP:STEP", rich_help_panel=_RUN, help="Of a video, these frames only; ::5 is every fifth."
        ),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", rich_help_panel=_RUN, help="Of a raster, the bands of red, green and blue."),
    ] = None,
    stretch: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH",
            rich_help_panel=_RUN,
            help="Of a raster that is not 8 bits wide, the values that become 0 and 255.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", rich_help_panel=_RUN, help="Only this part of the images: 0/8 … 7/8 are all of them."
        ),
    ] = None,
) -> None:
    """Segment images: a palette PNG for each, whose pixel values are class indices, and a line of what was found.

    A killed run goes on where it was when it is started again: images whose files are there, made with the same model
    and settings from the same source, are left out.

    Processes share the images under torchrun, each with a GPU of its own: `torchrun --nproc-per-node 8 -m semask_cli
    predict …`.
    """
    from rich.console import Console

    from semask_cli.distributed.answers import Outputs
    from semask_cli.distributed.parts import Parts
    from semask_cli.distributed.prediction import Run, segment_here
    from semask_cli.distributed.run_journal import RunJournal
    from semask_cli.io.manifest import Inputs
    from semask_cli.io.storage import place
    from semask_cli.output.gallery import with_previews, write_gallery
    from semask_cli.output.kinds import KINDS
    from semask_cli.output.paths import plan_outputs
    from semask_cli.video.reading import is_video

    kinds = [cast("Kind", kind.strip()) for kind in save.split(",") if not (format and kind == "none")]
    if format and gallery:
        raise UsageError("--report shows files, which --format does not write", "Ask for one of them.")
    if format and as_json:
        raise UsageError("--json prints what --format writes", "Ask for one of them.")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"--save has no kind {unknown[0]!r}", f"There are {', '.join(KINDS)}.")
    outputs = Outputs(kinds=tuple(kinds), opacity=opacity, tolerance=tolerance, top=top)
    if inputs and any(is_video(name) for name in inputs):
        if manifest or ray or shard or as_json:
            raise UsageError("a video takes no --manifest, --ray, --shard or --json")
        predict_video(inputs, options=options, outputs=outputs, output=Path(output), frames=frames, fresh=fresh)
        return
    if inputs and Path(output).suffix.lower() in RASTERS:
        predict_raster(inputs, options=options, output=Path(output), bands=bands, stretch=stretch)
        return
    if bands or stretch:
        raise UsageError("--bands and --stretch are for rasters", "Name one, as in: semask predict a.tif -o labels.tif")
    if frames:
        raise UsageError("--frames is for videos", "Name one, as in: semask predict drive.mp4 -o out.mp4")
    if not (inputs or manifest):
        raise UsageError("there is nothing to segment", "Name an image, a folder, or a list of images with --manifest.")
    folder = place(output)
    part, world = Shard.parse(shard) if shard else Shard(), world_of_torchrun()
    if as_json and (world.size > 1 or ray):
        raise UsageError("--json prints one document of what one process does", "Use --save json.")
    part = part.part(world.rank, world.size)
    named = Inputs(names=tuple(inputs or ()), manifest=manifest)
    read = [path for path in (options.checkpoint, options.zoo, manifest) if path]
    tasks = plan_outputs(
        (entry for entry in named.find(output=folder) if part.holds(entry.id)), folder, kinds, read=read
    )
    if gallery:
        outputs = replace(outputs, kinds=tuple(dict.fromkeys((*outputs.kinds, "preview"))))
        tasks = with_previews(tasks, gallery)
    first = list(islice(tasks, 1))  # what stands against the run is said before the model is loaded

    def begin(settings: Mapping[str, Any]) -> Run:
        if as_json:
            return Run(chain(first, tasks))
        settings = {**settings, **outputs.settings} | ({"format": format} if format else {})
        journal = RunJournal(folder, settings, shard=part, fresh=fresh)
        journal.note_inputs(named)
        parts = Parts(folder, format, kinds, journal=journal) if format else None
        return Run(chain(first, tasks), journal=journal, parts=parts)

    results = Console(soft_wrap=True, highlight=False, file=sys.stdout)
    with ExitStack() as stack:
        if ray:
            from semask_cli.ray import cluster

            stack.enter_context(cluster(ray))
            run, outcomes = _on_ray(options, outputs, begin, max_pixels=max_pixels)
        else:
            segmenter = replace(options, device=world.device(options.device)).load()
            run = begin(segmenter.settings)
            outcomes = segment_here(
                run, segmenter, outputs, open_stdin=_stdin, max_pixels=max_pixels, documents=as_json
            )
        stack.callback(run.close)
        try:
            _print(run, outcomes, results, as_json=as_json)
        finally:  # whatever ends the run, what was done is shown
            if gallery:
                print(f"all images on one page: {write_gallery(gallery)}", file=sys.stderr)


def _on_ray(
    options: ModelOptions, outputs: Outputs, begin: Callable[[Mapping[str, Any]], Run], *, max_pixels: int
) -> tuple[Run, Generator[Outcome, None, None]]:
    from semask_cli.datasets import classes
    from semask_cli.ray import Actors, segment_on_ray, settings_on_ray

    arguments = options.arguments()
    model, actors = arguments.pop("model"), Actors.of_cluster(device=arguments.pop("device"), threads=options.threads)
    run = begin(settings_on_ray(model, actors, **arguments))
    palette = classes(load_zoo(options.zoo).find(model, dataset=options.dataset).dataset).palette
    saving = {
        "save": outputs.kinds,
        "opacity": outputs.opacity,
        "tolerance": outputs.tolerance,
        "top": outputs.top,
    }
    return run, segment_on_ray(run, model, actors, palette=palette, max_pixels=max_pixels, **saving, **arguments)


def _print(run: Run, outcomes: Generator[Outcome, None, None], results: Console, *, as_json: bool) -> None:
    """A line for each image as it comes, or one document, on `results`."""
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
    finally:  # whatever ends the run, what was done is said
        if as_json:
            print(json.dumps({"schema_version": 1, "pictures": rows}, ensure_ascii=False, indent=2))
        if run.done_before:
            print(f"{run.done_before} of {run.images} images were done before", file=sys.stderr)
    if failures:
        print(f"{len(failures)} of {run.images} images could not be segmented", file=sys.stderr)
        raise typer.Exit(failures[0].exit_code)


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
