"""`semask predict`: masks of images; a video or a raster becomes another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from semask_cli.cli.images import predict_images
from semask_cli.cli.model_options import ModelOptions
from semask_cli.cli.option_groups import refuse_options, with_option_groups
from semask_cli.cli.predict_options import RUN, ImageRunOptions, OutputOptions
from semask_cli.cli.raster import TARGETS as RASTERS
from semask_cli.cli.raster import predict_raster
from semask_cli.cli.video import TARGET as VIDEO
from semask_cli.cli.video import predict_video
from semask_cli.errors import UsageError
from semask_cli.io.files import refuse_address

if TYPE_CHECKING:
    from semask_cli.output.kinds import Kind

_SHARING = ("as_json", "format", "gallery", "manifest", "ray", "shard")
_DRAWING = ("save", "opacity", "tolerance", "top", "max_pixels")


@with_option_groups
def predict(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Images, folders, glob patterns, URLs, - for stdin; or a video, camera:0, or a raster.",
        ),
    ] = None,
    *,
    options: ModelOptions,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Output folder; sub-folders of the inputs are kept. Or one .parquet file for all results, an .mp4"
            " file for a video, a .tif file for a raster.",
        ),
    ] = "masks",
    saving: OutputOptions,
    run: ImageRunOptions,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="START:STOP:STEP",
            rich_help_panel=RUN,
            help="Video: only these frames; ::5 is every fifth.",
        ),
    ] = None,
    smooth: Annotated[
        float,
        typer.Option(
            metavar="WEIGHT",
            rich_help_panel=RUN,
            help="Video: weight of earlier frames in each frame's scores, below 1. Reduces flicker, but labels lag"
            " behind motion.",
        ),
    ] = 0,
    bands: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", rich_help_panel=RUN, help="Raster: the bands of red, green and blue."),
    ] = None,
    stretch: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH",
            rich_help_panel=RUN,
            help="Raster that is not 8-bit: the values that become 0 and 255.",
        ),
    ] = None,
) -> None:
    """Segment images: a palette PNG of class indices for each, and a line with the classes found.

    A killed run resumes when it is started again: images whose files exist, made with the same model and settings from
    the same source, are skipped.

    Under torchrun, processes share the images, each on its own GPU: `torchrun --nproc-per-node 8 -m semask_cli
    predict …`.
    """
    from semask_cli.distributed.table import is_table
    from semask_cli.io.image_formats import IMAGE_SUFFIXES
    from semask_cli.io.storage import place
    from semask_cli.video.reading import VIDEO_SUFFIXES, is_video

    inputs = inputs or []
    if any(is_video(name) for name in inputs):
        refuse_options(context, "a video", (*_SHARING, "max_pixels", "bands", "stretch"))
        refuse_address(output, "-o for a video")
        if is_table(place(output)):
            raise UsageError(f"{output}: a video is written as a folder or an .mp4 file")
        _refuse_name_of_a_file(output, IMAGE_SUFFIXES)
        outputs = saving.outputs(default="overlay" if Path(output).suffix.lower() == VIDEO else "mask")
        _refuse_unused(context, outputs.kinds)
        predict_video(
            inputs,
            options=options,
            outputs=outputs,
            output=Path(output),
            frames=frames,
            smooth=smooth,
            fresh=run.fresh,
        )
    elif inputs and Path(output).suffix.lower() in RASTERS:
        refuse_options(context, "a raster", (*_SHARING, *_DRAWING, "frames", "smooth"))
        refuse_address(output, "-o for a raster")
        predict_raster(inputs, options=options, output=Path(output), bands=bands, stretch=stretch)
    else:
        refuse_options(
            context, "a run without a raster", ("bands", "stretch"), "Example: semask predict a.tif -o labels.tif"
        )
        refuse_options(
            context, "a run without a video", ("frames", "smooth"), "Example: semask predict drive.mp4 -o out.mp4"
        )
        _refuse_name_of_a_file(output, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
        if is_table(place(output)):
            run = replace(run, format=run.format or "parquet")
        outputs = saving.outputs(or_none=bool(run.format))
        _refuse_unused(context, (*outputs.kinds, "preview") if run.gallery else outputs.kinds)
        predict_images(inputs, options=options, outputs=outputs, output=output, run=run)


def _refuse_unused(context: typer.Context, kinds: tuple[Kind, ...]) -> None:
    """Refuse options of other kinds of files than these."""
    from semask_cli.output.kinds import Option, kinds_with

    for option in get_args(Option):
        takers = kinds_with(option)
        if not set(takers).intersection(kinds):
            refuse_options(context, f"--save {','.join(kinds) or 'none'}", [option], f"It is for {', '.join(takers)}.")


def _refuse_name_of_a_file(output: str, endings: frozenset[str]) -> None:
    """Refuse an output such as mask.png, which would become a folder of that name."""
    if Path(output).suffix.lower() in endings and not Path(output).is_dir():
        raise UsageError(f"{output} is a file name, but results go into a folder", "Name a folder with -o.")
