"""`semask predict`: images in, masks out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from semask_cli.cli.model_options import ModelOptions, with_model_options
from semask_cli.cli.reporting import report
from semask_cli.errors import SemaskError, UsageError

if TYPE_CHECKING:
    from semask_cli.cli.inputs import Input
    from semask_cli.output.segmentation import Kind, Segmentation

SHOWN_CLASSES = 5  # of an image, on its line on the terminal
PENDING_WRITES = 2  # images whose files are being written while the network goes on


@with_model_options
def predict(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Images, folders, glob patterns, or - for stdin.")
    ],
    *,
    look: ModelOptions,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go; sub-folders are kept.")
    ] = Path("masks"),
    save: Annotated[str, typer.Option(metavar="KINDS", help="Any of mask,color,overlay,side,legend,json.")] = "mask",
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the colours over the image.")] = 0.5,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse larger images; a small file may unpack to a huge one.")
    ] = 2**28,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Segment images: a palette PNG for each, whose pixel values are class indices, and a line of what was found."""
    from semask_cli.cli.inputs import find_inputs, output_paths
    from semask_cli.output.segmentation import KINDS

    kinds = [cast("Kind", kind.strip()) for kind in save.split(",")]
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"--save has no kind {unknown[0]!r}", f"There are {', '.join(KINDS)}.")
    found = find_inputs(inputs)
    planned = output_paths(found, output, kinds)
    segmenter = look.load()
    sources = (entry.path or sys.stdin.buffer for entry in found)
    results = segmenter.predict_each(sources, confidence=as_json or "json" in kinds, max_pixels=max_pixels)
    rows: list[dict[str, Any]] = []
    failures: list[SemaskError] = []
    written = _written(zip(found, results, strict=True), planned, opacity=opacity)
    for entry, result in _progress(written, total=len(found)):
        if isinstance(result, SemaskError):
            failures.append(result)
            rows.append({"input": entry.name, "error": result.message, "suggestion": result.suggestion})
            if not as_json:
                report(result)
            continue
        files = {kind: str(path) for kind, path in planned[entry].items()}
        if as_json:
            rows.append({"input": entry.name, "files": files, **result.to_json()})
        else:
            _print_line(entry, result, next(iter(files.values())))
    if as_json:
        print(json.dumps({"schema_version": 1, "pictures": rows}, ensure_ascii=False, indent=2))
    if failures:
        print(f"{len(failures)} of {len(found)} images could not be segmented", file=sys.stderr)
        raise typer.Exit(failures[0].exit_code)


def _written(
    results: Iterator[tuple[Input, Segmentation | SemaskError]],
    planned: dict[Input, dict[Kind, Path]],
    *,
    opacity: float,
) -> Iterator[tuple[Input, Segmentation | SemaskError]]:
    """The same results, in order, once their files are on disk; writing goes on beside the network."""

    def write(entry: Input, result: Segmentation | SemaskError) -> tuple[Input, Segmentation | SemaskError]:
        if not isinstance(result, SemaskError):
            for kind, path in planned[entry].items():
                result.save(path, kind=kind, opacity=opacity)
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

    line = Text(f"{entry.name} -> {path} ")
    for share in result.shares()[:SHOWN_CLASSES]:
        line.append("  ")
        line.append("█ ", style="rgb({},{},{})".format(*share.colour))
        line.append(f"{share.name} {100 * share.share:.1f} %")
    Console(soft_wrap=True, highlight=False).print(line)
