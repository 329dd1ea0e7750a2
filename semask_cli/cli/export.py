"""`semask export`: a network for another engine, compared before it is kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from semask_cli.cli.dataset_options import DatasetName
from semask_cli.cli.model_options import ModelName, ModelOptions, parse_size


def export(
    name: ModelName,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Ends in .onnx, .xml or .pt2.")],
    format: Annotated[
        Literal["onnx", "openvino", "torch-export"], typer.Option(help="The engine that the file is for.")
    ] = "onnx",
    size: Annotated[
        str | None, typer.Option(metavar="N|HxW", help="Of the images, in pixels; the model's crop unless given.")
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="Images to compare on, or folders; the ten bundled scenes unless given."),
    ] = None,
    dataset: DatasetName = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file to use instead of the published one.")
    ] = None,
    zoo: Annotated[Path | None, typer.Option("--zoo", metavar="FILE", help="Rows of your own.")] = None,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Need no checkpoint.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export a model's network to ONNX, OpenVINO or torch.export, with a script beside it that runs it without semask.

    The file is run in its engine and compared with semask's own network; one that computes something else is not kept.
    """
    from semask_cli.io.inputs import find_inputs
    from semask_cli.io.overwriting import refuse_replacing
    from semask_cli.io.storage import image_source

    sides = None if size is None else parse_size("--size", size)
    paths = [entry.path for entry in find_inputs(images or ()) if entry.path]
    refuse_replacing([output], [checkpoint, zoo, *paths])
    sources = [image_source(path) for path in paths] or None
    segmenter = ModelOptions(
        model=name, dataset=dataset, checkpoint=checkpoint, zoo=zoo, device="cpu", precision="fp32"
    ).load(random_weights=random_weights)
    from semask_cli.export.export_model import export_model

    compared = export_model(segmenter, output, format=format, size=sides, images=sources)
    if as_json:
        print(json.dumps({"schema_version": 1, "file": str(output), **dataclasses.asdict(compared)}, indent=2))
    else:
        print(
            f"{output}  scores within {compared.difference:.1e} of their range, {compared.equal_labels:.3%} of labels"
            f" equal, on {compared.images} images"
        )
