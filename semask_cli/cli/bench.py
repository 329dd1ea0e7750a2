"""`semask bench`: the speed of a model on this machine, by stage."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semask_cli.cli.model_options import ModelOptions, parse_size
from semask_cli.cli.option_groups import AsJson, with_option_groups
from semask_cli.cli.printing import print_json, print_table
from semask_cli.errors import UsageError
from semask_cli.io.files import write_atomically
from semask_cli.io.regular import read_regular

if TYPE_CHECKING:
    from semask_cli.machine.benchmark import Benchmark

_NEW_FILE = "Give --csv a new file."


@with_option_groups
def bench(
    *,
    options: ModelOptions,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", rich_help_panel="Model", help="Skip the checkpoint.")
    ] = False,
    size: Annotated[str, typer.Option(metavar="N|HxW", help="Image size in pixels.")] = "1000x1500",
    repeats: Annotated[int, typer.Option(min=1, help="Images to measure, after warm-up.")] = 5,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Append a row to this file, with machine and versions.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure milliseconds by stage, images per second, peak memory, and the share of the machine's peak FLOP/s."""
    from semask_cli.io.images import MAX_PIXELS

    height, width = parse_size("--size", size)
    if height * width > MAX_PIXELS:
        raise UsageError(f"--size {size} has more than {MAX_PIXELS} pixels")
    if csv_file:
        _read_record(csv_file)  # refused before anything is measured
    segmenter = options.load(random_weights=random_weights)
    from semask_cli.machine.benchmark import run_benchmark

    measured = run_benchmark(segmenter, height=height, width=width, repeats=repeats)
    if csv_file:
        write_atomically(csv_file, _with_row(_read_record(csv_file), _flat(measured), file=csv_file).encode())
    if as_json:
        print_json(dataclasses.asdict(measured))
    else:
        _print(measured)


def _print(measured: Benchmark) -> None:
    from rich.console import Console
    from rich.table import Table

    total = sum(measured.milliseconds.values())
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for stage, spent in measured.milliseconds.items():
        table.add_row(stage, f"{spent:.1f}", f"{spent / total:.1%}")
    console = Console(highlight=False)
    weights = ", random weights" if measured.random_weights else ""
    noise = " calibrated on noise" if measured.calibrated_on_noise else ""
    console.print(
        f"{measured.model}{weights}, {measured.width} x {measured.height}, {measured.device},"
        f" {measured.precision}{noise}, {measured.engine}, threads: {measured.threads}"
    )
    print_table(table)
    console.print(
        f"{measured.images_per_second:.2f} images per second, peak memory {measured.peak_memory / 2**30:.2f} GiB"
    )
    console.print(
        f"network {measured.network_gflop:.0f} GFLOP at {measured.share_of_peak:.0%}"
        f" of the {measured.peak_gflops:.0f} GFLOP/s of a large matrix product"
    )


def _flat(measured: Benchmark) -> dict[str, Any]:
    """A row of the record: figures, then machine and versions."""
    from datetime import UTC, datetime

    from semask_cli.inference.versions import versions
    from semask_cli.ops.cpu import processor

    document = dataclasses.asdict(measured)
    stages = {f"{stage}_ms": round(spent, 2) for stage, spent in document.pop("milliseconds").items()}
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in document.items()}
    machine = {"date": datetime.now(UTC).date().isoformat(), "cpu": processor()}
    return {**rounded, **stages, **machine, **versions()}


def _read_record(path: Path) -> str:
    """The rows already in a file, as text; empty if there is none.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        return read_regular(path).decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--csv cannot append to {path}: {error}", _NEW_FILE) from error


def _with_row(record: str, row: dict[str, Any], *, file: Path) -> str:
    columns = next(csv.reader(record.splitlines()), None)
    if columns is not None and set(columns) != set(row):
        raise UsageError(f"{file} has other columns than this record", _NEW_FILE)
    rows = io.StringIO(record, newline="")
    rows.seek(0, io.SEEK_END)
    writer = csv.DictWriter(rows, columns or list(row))
    if columns is None:
        writer.writeheader()
    writer.writerow(row)
    return rows.getvalue()
