"""`semask download`: published checkpoints onto this machine, once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from semask_cli.cli.completion import complete_dataset, complete_model
from semask_cli.datasets.spec import dataset_name
from semask_cli.errors import SemaskError, UsageError
from semask_cli.zoo import ModelSpec, Zoo, load_zoo


def download(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Models, as `semask models` lists them.", autocompletion=complete_model),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model, or every model of --dataset.")] = False,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The dataset of a bare model name.", autocompletion=complete_dataset),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Save the published file itself here, checked and unchanged, and an index: a mirror for others.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Take the model's published file from here instead of the network."
        ),
    ] = None,
    zoo_file: Annotated[Path | None, typer.Option("--zoo", metavar="FILE", help="Rows of your own.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document: what lies where.")] = False,
) -> None:
    """Fetch published checkpoints into the cache, where every command finds them.

    They come from the mirrors that $SEMASK_MIRROR names, if any, else from Google Drive.

    An interrupted download goes on where it stopped. Each file is checked, compared with its model by names and
    shapes, and kept as safetensors. $SEMASK_CACHE names another cache folder.
    """
    zoo = load_zoo(zoo_file)
    specs = _chosen(zoo, names or [], dataset=dataset, everything=everything)
    if source and (to or len(specs) != 1):
        raise UsageError("--from takes one model, and goes without --to")
    from semask_cli.checkpoints import store
    from semask_cli.checkpoints.download import adopt, save_published
    from semask_cli.checkpoints.download import download as fetch

    rows: list[dict[str, Any]] = []
    failures: list[SemaskError] = []
    for spec in specs:
        name = store.full_name(spec)
        try:
            with fetching(name) as progress:
                if source:
                    path = adopt(source, spec, zoo)
                elif to:
                    path = save_published(spec, zoo, to, progress=progress)
                else:
                    path = fetch(spec, zoo, progress=progress)
        except SemaskError as error:
            failures.append(error)
            rows.append({"name": name, "error": error.message, "suggestion": error.suggestion})
        else:
            rows.append({"name": name, "path": str(path)})
            if not as_json:
                print(f"{name}  {path}")
    if as_json:
        print(json.dumps({"schema_version": 1, "checkpoints": rows}, indent=2))
    if failures:
        raise failures[0] if len(failures) == 1 else _together(failures)


@contextmanager
def fetching(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A callback for a download: a progress bar on a terminal, else one line on stderr that says what and how large."""
    from rich.console import Console
    from rich.filesize import decimal
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
    task = bar.add_task(name, total=None)
    announced = False

    def progress(received: int, total: int | None) -> None:
        nonlocal announced
        if not announced and console.is_terminal:
            bar.start()
        elif not announced:
            size = decimal(total) if total else "of unknown size"
            print(f"fetching {name} ({size})", file=sys.stderr)
        announced = True
        bar.update(task, completed=received, total=total)

    try:
        yield progress
    finally:
        if bar.live.is_started:
            bar.stop()


def _chosen(zoo: Zoo, names: list[str], *, dataset: str | None, everything: bool) -> list[ModelSpec]:
    if everything == bool(names):
        raise UsageError("name the models to fetch, or say --all", "`semask models` lists them.")
    if names:
        return [zoo.find(name, dataset=dataset) for name in names]
    canonical = dataset and dataset_name(dataset)
    return [s for s in zoo.models.values() if s.checkpoint and canonical in (None, s.dataset)]


def _together(failures: list[SemaskError]) -> SemaskError:
    """Several failures as one, with the exit code of the first."""
    return type(failures[0])(
        f"{len(failures)} files could not be fetched:\n" + "\n".join(f.message for f in failures),
        failures[0].suggestion,
    )
