"""`semask predict`: images in, masks out."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import typer

from semask_cli.cli.model_options import ModelOptions
from semask_cli.cli.option_groups import with_option_groups
from semask_cli.cli.reporting import report
from semask_cli.errors import ImageError, OutputError, SemaskError, UsageError, printable
from semask_cli.output.percentages import format_share

if TYPE_CHECKING:
    from semask_cli.io.inputs import Input
    from semask_cli.output.segmentation import Kind, Segmentation

SHOWN_CLASSES = 5  # of an image, on its line on the terminal
PENDING_WRITES = 2  # images whose files are being written while the network goes on

SAVE_HELP = (
    "Any of mask, index, color, overlay, contour, side, legend, confidence, json, coco, coco-polygons, geojson, cvat, "
    "labelstudio, with commas between."
)

_FULL = (errno.ENOSPC, errno.EDQUOT)


@with_option_groups
def predict(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Images, folders, glob patterns, or - for stdin.")
    ],
    *,
    options: ModelOptions,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go; sub-folders are kept.")
    ] = Path("masks"),
    save: Annotated[str, typer.Option(metavar="KINDS", help=SAVE_HELP)] = "mask",
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the colours over the image.")] = 0.5,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Pixels by which outlines may be simplified, in formats of polygons.")
    ] = 0,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse larger images; a small file may unpack to a huge one.")
    ] = 2**28,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Segment images: a palette PNG for each, whose pixel values are class indices, and a line of what was found."""
    from semask_cli.io.inputs import find_inputs
    from semask_cli.output.paths import output_paths
    from semask_cli.output.segmentation import KINDS, needs

    kinds = [cast("Kind", kind.strip()) for kind in save.split(",")]
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"--save has no kind {unknown[0]!r}", f"There are {', '.join(KINDS)}.")
    entries = find_inputs(inputs)
    paths = output_paths(entries, output, kinds)
    segmenter = options.load()
    sources = (entry.path or _stdin() for entry in entries)
    confidence = as_json or "json" in kinds or "confidence" in needs(kinds)
    results = segmenter.predict_each(sources, confidence=confidence, max_pixels=max_pixels)
    rows: list[dict[str, Any]] = []
    failures: list[SemaskError] = []
    written = _written(zip(entries, results, strict=True), paths, opacity=opacity, tolerance=tolerance)
    try:
        for entry, result in _progress(written, total=len(entries)):
            if isinstance(result, SemaskError):
                failures.append(result)
                rows.append({"input": entry.name, "error": result.message, "suggestion": result.suggestion})
                if not as_json:
                    report(result)
                continue
            files = {kind: str(path) for kind, path in paths[entry].items()}
            if as_json:
                rows.append({"input": entry.name, "files": files, **result.to_json()})
            else:
                _print_line(entry, result, next(iter(files.values())))
    finally:  # whatever ends the run, what was done is said
        if as_json:
            print(json.dumps({"schema_version": 1, "pictures": rows}, ensure_ascii=False, indent=2))
    if failures:
        print(f"{len(failures)} of {len(entries)} images could not be segmented", file=sys.stderr)
        raise typer.Exit(failures[0].exit_code)


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise ImageError("there is no standard input to read an image from")
    return sys.stdin.buffer


def _written(
    results: Iterator[tuple[Input, Segmentation | SemaskError]],
    paths: dict[Input, dict[Kind, Path]],
    *,
    opacity: float,
    tolerance: float,
) -> Iterator[tuple[Input, Segmentation | SemaskError]]:
    """The same results, in order, once their files are on disk; writing goes on beside the network.

    A result that cannot be written becomes its error, but a full disk ends the run: no other would be written either.
    """

    def write(entry: Input, result: Segmentation | SemaskError) -> tuple[Input, Segmentation | SemaskError]:
        if isinstance(result, SemaskError):
            return entry, result
        result = replace(result, name=Path(entry.name).name)
        try:
            for kind, path in paths[entry].items():
                result.save(path, kind=kind, opacity=opacity, tolerance=tolerance)
        except OutputError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:
                raise
            return entry, error
        return entry, result

    pending: list[Future[tuple[Input, Segmentation | SemaskError]]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
        for entry, result in results:
            pending.append(writer.submit(write, entry, result))
            if len(pending) > PENDING_WRITES:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()


def _progress(
    results: Iterator[tuple[Input, Segmentation | SemaskError]], *, total: int
) -> Iterator[tuple[Input, Segmentation | SemaskError]]:
    """A progress bar on stderr, where that is a terminal and there is something to wait for."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=total == 1 or not console.is_terminal) as bar:
        yield from bar.track(results, total=total, description="predict")


def _print_line(entry: Input, result: Segmentation, path: str) -> None:
    from rich.console import Console
    from rich.text import Text

    line = Text(f"{printable(entry.name)} -> {printable(path)} ")
    for share in result.shares()[:SHOWN_CLASSES]:
        line.append("  ")
        line.append("█ ", style="rgb({},{},{})".format(*share.colour))
        line.append(f"{share.name} {format_share(share.share)}")
    Console(soft_wrap=True, highlight=False).print(line)
