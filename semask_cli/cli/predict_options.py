"""The options of `semask predict` that say what is written of each image, and how a run over images goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

if TYPE_CHECKING:
    from semask_cli.distributed.answers import Outputs
    from semask_cli.output.kinds import Kind

SAVE_HELP = (
    "Any of mask, index, color, overlay, contour, side, legend, preview, confidence, entropy, scores, json, coco, "
    "coco-polygons, geojson, cvat, labelstudio, with commas between."
)
RUN = "The run"
"""The panel of options that say how a run goes."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is written of each image."""

    save: Annotated[str, typer.Option(metavar="KINDS", help=SAVE_HELP)] = "mask"
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the colours over the image.")] = 0.5
    tolerance: Annotated[
        float, typer.Option(min=0, help="Pixels by which outlines may be simplified, in formats of polygons.")
    ] = 0
    top: Annotated[
        int, typer.Option(min=1, help="Classes in scores files, the best of each pixel; as many as there are is all.")
    ] = 5

    def outputs(self, *, or_none: bool = False) -> Outputs:
        """The outputs that the engine makes; with `or_none`, "--save none" asks for none.

        Raises:
            UsageError: an unknown kind of file.
        """
        from semask_cli.distributed.answers import Outputs

        kinds = [kind.strip() for kind in self.save.split(",")]
        if or_none:
            kinds = [kind for kind in kinds if kind != "none"]
        return Outputs(
            kinds=cast("tuple[Kind, ...]", tuple(kinds)), opacity=self.opacity, tolerance=self.tolerance, top=self.top
        )


@dataclass(frozen=True, kw_only=True)
class ImageRunOptions:
    """Which images a run takes, with whom it shares them, and how its results are collected."""

    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse larger images; a small file may unpack to a huge one.")
    ] = 2**28
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout; every image is segmented again.")
    ] = False
    format: Annotated[
        Literal["parquet", "webdataset"] | None,
        typer.Option(
            help="Collect results in few large files: Parquet tables, or WebDataset's tar files. --save none keeps the"
            " classes alone."
        ),
    ] = None
    gallery: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            rich_help_panel=RUN,
            help="Write a page of all images, with their overlays, here.",
        ),
    ] = None
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=RUN,
            help="A list of images: a .txt file with a path in each line, or a .csv or .parquet file with columns path"
            " and id.",
        ),
    ] = None
    fresh: Annotated[bool, typer.Option("--fresh", rich_help_panel=RUN, help="Segment again what is done already.")] = (
        False
    )
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=RUN,
            help="Segment on this Ray cluster; local starts one on this machine, auto finds the one it belongs to.",
        ),
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", rich_help_panel=RUN, help="Only this part of the images: 0/8 … 7/8 are all of them."
        ),
    ] = None
