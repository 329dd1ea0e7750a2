"""The options of `semask predict` for output files, and for a run over images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

if TYPE_CHECKING:
    from semask_cli.distributed.answers import Outputs
    from semask_cli.output.kinds import Kind

SAVE_HELP = (
    "Comma-separated: mask, index, color, overlay, contour, side, legend, preview, confidence, entropy, scores, json, "
    "coco, coco-polygons, geojson, cvat, labelstudio. Without it, mask, in a video overlay. May be given several times."
)
RUN = "The run"
"""The panel of options about a run."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The files written for each image."""

    save: Annotated[list[str] | None, typer.Option(metavar="KINDS", help=SAVE_HELP)] = None
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Opacity of the colours over the image.")] = 0.5
    tolerance: Annotated[float, typer.Option(min=0, help="Simplify polygon outlines by up to so many pixels.")] = 0
    top: Annotated[int, typer.Option(min=1, help="Number of best classes per pixel in scores files.")] = 5

    def outputs(self, *, default: Kind = "mask", or_none: bool = False) -> Outputs:
        """The outputs for the engine, `default` without --save; with `or_none`, "none" is a kind that writes nothing.

        Raises:
            UsageError: an unknown kind of file.
        """
        from semask_cli.distributed.answers import Outputs

        kinds = [kind.strip() for kind in ",".join(self.save or [default]).split(",")]
        if or_none:
            kinds = [kind for kind in kinds if kind != "none"]
        return Outputs(
            kinds=cast("tuple[Kind, ...]", tuple(kinds)), opacity=self.opacity, tolerance=self.tolerance, top=self.top
        )


@dataclass(frozen=True, kw_only=True)
class ImageRunOptions:
    """The images of a run, how it is distributed, and how its results are collected."""

    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse images with more pixels; a small file can unpack to a huge image.")
    ] = 2**28
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document; segments every image anew.")] = False
    format: Annotated[
        Literal["parquet", "webdataset"] | None,
        typer.Option(
            help="Collect results in a few large files: Parquet tables or WebDataset tar files. --save none keeps only"
            " the classes."
        ),
    ] = None
    gallery: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            rich_help_panel=RUN,
            help="Write an HTML page of all images and their overlays here.",
        ),
    ] = None
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=RUN,
            help="A list of images: a .txt file with a path per line, or a .csv or .parquet file with columns path and"
            " id.",
        ),
    ] = None
    fresh: Annotated[bool, typer.Option("--fresh", rich_help_panel=RUN, help="Segment finished images again.")] = False
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=RUN,
            help="Segment on this Ray cluster: an address, auto for this machine's cluster, or local to start one.",
        ),
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", rich_help_panel=RUN, help="Segment only this part of the images: 0/8 to 7/8."),
    ] = None
