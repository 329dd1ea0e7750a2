"""`semask download`: published checkpoints into the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from semask_cli.cli.completion import complete_dataset, complete_model
from semask_cli.cli.model_options import ZooFile
from semask_cli.cli.option_groups import AsJson
from semask_cli.cli.printing import print_json
from semask_cli.cli.reporting import fetching
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
            help="Save the published files here, verified and unconverted, with an index: a mirror for others.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Use this copy of the model's published file instead of downloading it."
        ),
    ] = None,
    zoo_file: ZooFile = None,
    as_json: AsJson = False,
) -> None:
    """Download published checkpoints into the cache, where every command finds them.

    They come from the mirrors in $SEMASK_MIRROR, if any, else from Google Drive.

    An interrupted download is resumed. Each file is verified, compared with its model by names and shapes, and stored
    as safetensors. $SEMASK_CACHE sets another cache folder.
    """
    zoo = load_zoo(zoo_file)
    specs = _chosen(zoo, names or [], dataset=dataset, everything=everything)
    if source and (to or len(specs) != 1):
        raise UsageError("--from takes one model, and cannot be combined with --to")
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
        print_json({"checkpoints": rows})
    if failures:
        raise failures[0] if len(failures) == 1 else _together(failures)


def _chosen(zoo: Zoo, names: list[str], *, dataset: str | None, everything: bool) -> list[ModelSpec]:
    if everything == bool(names):
        raise UsageError("name the models to download, or give --all", "`semask models` lists them.")
    if names:
        return [zoo.find(name, dataset=dataset) for name in names]
    canonical = dataset and dataset_name(dataset)
    return [s for s in zoo.models.values() if s.checkpoint and canonical in (None, s.dataset)]


def _together(failures: list[SemaskError]) -> SemaskError:
    """Several failures as one, with the exit code of the first."""
    return type(failures[0])(
        f"{len(failures)} files could not be downloaded:\n" + "\n".join(f.message for f in failures),
        failures[0].suggestion,
    )
