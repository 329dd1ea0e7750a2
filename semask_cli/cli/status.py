"""`semask status`: the progress of predictions and evaluations."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semask_cli.cli.option_groups import AsJson
from semask_cli.cli.printing import print_json
from semask_cli.errors import printable

if TYPE_CHECKING:
    from semask_cli.distributed.status import RunStatus

IDLE = 60.0  # seconds without an image before this is reported


def status(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR",
            help="The output of `semask predict -o` (a folder or .parquet file), or a --journal of `semask eval`; by"
            " default the evaluations in the cache.",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the progress of the runs in a folder: images done, failed (and why) and left, images per second, time left.

    Reads their journals and lists their inputs, so it works during and after a run, from any machine.
    """
    runs = _runs(folder)
    if as_json:
        documents = [{**dataclasses.asdict(run), "seconds_left": run.seconds_left} for run in runs]
        print_json({"runs": documents})
        return
    for run in runs:
        _print(run)


def _runs(folder: str | None) -> list[RunStatus]:
    from semask_cli.distributed.status import read_status
    from semask_cli.distributed.table import is_table, parts_folder
    from semask_cli.evaluation.journal import evaluations_folder
    from semask_cli.evaluation.status import read_evaluations
    from semask_cli.io.storage import place

    if folder is None:
        return read_evaluations(evaluations_folder())
    output = place(folder)
    return read_status(parts_folder(output) if is_table(output) else output) or read_evaluations(Path(folder))


def _print(run: RunStatus) -> None:
    settings = run.settings
    kinds = ",".join(settings.get("outputs", ()))
    what = kinds or " ".join(filter(None, (settings.get("dataset"), settings.get("split"))))
    source = ", ".join(filter(None, (settings.get("model", settings.get("masks")), settings.get("precision"))))
    print(f"{printable(source)}: {what}" if source else "a run whose journal lacks its first line")
    failed = sum(failure.images for failure in run.failures)
    left = "" if run.left is None else f", {run.left} left"
    print(f"  {run.done} done, {failed} failed{left}")
    for failure in run.failures:
        print(f"  {failure.images} x {failure.kind}, such as: {printable(failure.example)}")
    if run.per_second:
        remaining = run.seconds_left
        time_left = f", {timedelta(seconds=round(remaining))} left" if remaining else ""
        print(f"  {_rounded(run.per_second)} images per second{time_left}")
    if run.left and run.seconds_idle() > IDLE:
        print(f"  no image for {timedelta(seconds=round(run.seconds_idle()))}: start the same command again to resume")


def _rounded(number: float) -> str:
    """Three significant digits: 0.314, 12.3, 4,000."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
