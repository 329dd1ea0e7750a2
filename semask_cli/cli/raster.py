"""`semask predict` for a georeferenced raster."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from semask_cli.cli.model_options import ModelOptions
from semask_cli.errors import UsageError, printable

TARGETS = (".tif", ".tiff")
Number = TypeVar("Number", int, float)


def predict_raster(
    inputs: list[str], *, options: ModelOptions, output: Path, bands: str | None, stretch: str | None
) -> None:
    """Segment one raster into `output`, a GeoTIFF.

    Raises:
        SemaskError: an option is invalid; otherwise as `geo.raster`.
    """
    from semask_cli.geo.raster import Stretch, rasterio, segment_raster
    from semask_cli.io.overwriting import refuse_replacing

    if len(inputs) > 1:
        raise UsageError("a run takes one raster", "Name only the raster, or a folder with -o.")
    source = Path(inputs[0])
    chosen = None if bands is None else tuple(_numbers("--bands", bands, int, 3))
    limits = None if stretch is None else Stretch(*_numbers("--stretch", stretch, float, 2))
    if limits and not -math.inf < limits.low < limits.high < math.inf:
        raise UsageError(f"--stretch {stretch!r} is not a low value and a higher one")
    if options.mode == "whole" or options.scales not in (None, "native") or options.flip or options.ms_flip:
        raise UsageError(
            "a raster is segmented in sliding windows at its own size",
            "Leave out --mode whole, --scales, --flip and --ms-flip.",
        )
    rasterio()  # a missing package is reported before the model is loaded
    refuse_replacing([output], [source])
    segmenter = replace(options, mode="slide", scales="native").load()
    _segment(segment_raster(segmenter, source, output, bands=chosen, stretch=limits))
    print(f"{printable(str(source))} -> {printable(str(output))}")


def _numbers(option: str, text: str, kind: type[Number], count: int) -> list[Number]:
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        whole = "whole " if kind is int else ""
        raise UsageError(f"{option} {text!r} is not {count} comma-separated {whole}numbers")
    return numbers


def _segment(run: Generator[float, None, None]) -> None:
    """Segment all blocks; shows the share done on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar, closing(run) as shares:
        task = bar.add_task("predict", total=1.0)
        for share in shares:
            bar.update(task, completed=share)
