"""`semask quantize`: a model in int8, calibrated on images and compared before it is kept."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Annotated

import typer

from semask_cli.cli.dataset_options import DatasetName
from semask_cli.cli.model_options import ModelOptions


def quantize(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model, as `semask models` lists them.")],
    *,
    images: Annotated[
        list[str], typer.Option(metavar="INPUT", help="Images like those to be segmented, or folders of them.")
    ],
    samples: Annotated[int, typer.Option(min=4, help="How many of them, drawn at random, the same each time.")] = 64,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here; for --quantized. Unless given, to the cache."),
    ] = None,
    dataset: DatasetName = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file to use instead of the published one.")
    ] = None,
    zoo: Annotated[Path | None, typer.Option("--zoo", metavar="FILE", help="Rows of your own.")] = None,
    keep_anyway: Annotated[
        bool, typer.Option("--keep-anyway", help="Also if less than 99.5 % of labels are the same.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Prepare a model for `--precision int8` on this kind of processor, with images like those it will segment.

    A quarter of the images is held back and segmented in float32 and in int8. Where less than 99.5 % of labels are the
    same, nothing is kept.
    """
    from semask_cli.io.inputs import find_inputs
    from semask_cli.io.storage import opened

    paths = [entry.path for entry in find_inputs(images) if entry.path]
    chosen = random.Random(0).sample(paths, min(samples, len(paths)))
    segmenter = ModelOptions(
        model=name, dataset=dataset, checkpoint=checkpoint, zoo=zoo, device="cpu", precision="fp32"
    ).load()
    from semask_cli.quantization.quantize_model import quantize_model

    made = quantize_model(segmenter, [opened(path) for path in chosen], output=output, keep_anyway=keep_anyway)
    if as_json:
        print(json.dumps({"schema_version": 1, **dataclasses.asdict(made)}, indent=2))
    else:
        print(
            f"{made.file}  {made.equal_labels:.2%} of labels equal on {made.compared_on} images, calibrated on"
            f" {made.calibrated_on} others"
        )
