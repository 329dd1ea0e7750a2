"""`semask export`: a network for another engine, verified before it is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer

from semask_cli.cli.dataset_options import DatasetName
from semask_cli.cli.model_options import CheckpointFile, ModelName, ModelOptions, ZooFile, parse_size
from semask_cli.cli.option_groups import AsJson
from semask_cli.cli.printing import print_json


def export(
    name: ModelName,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="An .onnx, .xml or .pt2 file.")],
    format: Annotated[
        Literal["onnx", "openvino", "torch-export"], typer.Option(help="The engine that the file is for.")
    ] = "onnx",
    size: Annotated[
        str | None, typer.Option(metavar="N|HxW", help="Image size in pixels; by default the model's crop.")
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="Images or folders to compare on; by default the ten bundled scenes."),
    ] = None,
    dataset: DatasetName = None,
    checkpoint: CheckpointFile = None,
    zoo: ZooFile = None,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Skip the checkpoint.")] = False,
    as_json: AsJson = False,
) -> None:
    """Export a model's network to ONNX, OpenVINO or torch.export, with a script that runs it without semask.

    The exported file is run in its engine and compared with semask's network; if they differ, it is not kept.
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
        print_json({"file": str(output), **dataclasses.asdict(compared)})
    else:
        print(
            f"{output}  scores within {compared.difference:.1e} of their range, {compared.equal_labels:.3%} of labels"
            f" equal, on {compared.images} images"
        )
