"""`semask quantize`: a model in int8, calibrated on images and verified before it is kept."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from semask_cli.cli.dataset_options import DatasetName
from semask_cli.cli.model_options import CheckpointFile, ModelName, ModelOptions, ZooFile
from semask_cli.cli.option_groups import AsJson
from semask_cli.cli.printing import print_json
from semask_cli.errors import UsageError

if TYPE_CHECKING:
    from semask_cli.datasets import Dataset
    from semask_cli.datasets.spec import Definition
    from semask_cli.evaluation.differences import RunDifference
    from semask_cli.io.images import ImageSource
    from semask_cli.io.storage import Place
    from semask_cli.quantization.quantize_model import Quantization

Item = TypeVar("Item")


def quantize(
    name: ModelName,
    *,
    images: Annotated[list[str], typer.Option(metavar="INPUT", help="Images or folders, of the kind to be segmented.")],
    samples: Annotated[int, typer.Option(min=4, help="Number of images to use, drawn with a fixed seed.")] = 64,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Label PNGs of class indices, named like the images of a single folder: compare mIoU too.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here, for --quantized; by default to the cache."),
    ] = None,
    dataset: DatasetName = None,
    checkpoint: CheckpointFile = None,
    zoo: ZooFile = None,
    keep_anyway: Annotated[
        bool, typer.Option("--keep-anyway", help="Keep it even if fewer than 99.5 % of labels agree.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Calibrate a model for `--precision int8` on images like those it will segment.

    A quarter of the images is held back and segmented in float32 and in int8. If fewer than 99.5 % of labels agree,
    nothing is kept.
    """
    from semask_cli.io.inputs import find_inputs
    from semask_cli.io.overwriting import refuse_replacing
    from semask_cli.io.storage import image_source
    from semask_cli.quantization.quantize_model import quantize_model

    segmenter = ModelOptions(
        model=name, dataset=dataset, checkpoint=checkpoint, zoo=zoo, device="cpu", precision="fp32"
    ).load()
    if labels:
        labelled = _labelled(images, labels, samples, dataset=segmenter.spec.dataset)
        sources: list[ImageSource] = [sample.image for sample in labelled.samples]
        read: list[Place | None] = [file for sample in labelled.samples for file in (sample.image, sample.label)]
    else:
        labelled = None
        paths = [entry.path for entry in find_inputs(images) if entry.path]
        sources = [image_source(path) for path in _drawn(paths, samples)]
        read = [*paths]
    if output:
        refuse_replacing([output], [checkpoint, zoo, *read])
    made = quantize_model(segmenter, sources, output=output, keep_anyway=keep_anyway)
    difference = _difference(labelled, made, definition=segmenter.spec.definition) if labelled else None
    compared_on = len(made.held_back)
    if as_json:
        found = {"file": made.file, "calibrated_on": made.calibrated_on, "compared_on": compared_on}
        found |= {"equal_labels": made.equal_labels}
        if difference:
            found["miou_difference"] = dataclasses.asdict(difference.miou)
        print_json(found)
    else:
        images_used = f"images compared: {compared_on}, calibrated on: {made.calibrated_on}"
        print(f"{made.file}  {made.equal_labels:.2%} of labels equal ({images_used})")
        if difference:
            print(difference.sentence)


def _labelled(images: list[str], labels: Path, samples: int, *, dataset: str) -> Dataset:
    """The drawn images of the single folder `images`, with their labels."""
    from semask_cli.datasets import classes, folder_dataset

    if len(images) != 1:
        raise UsageError(
            "--labels needs a single folder of --images", "Name the folder whose images have these labels."
        )
    found = folder_dataset(Path(images[0]), labels, classes(dataset))
    labelled = [sample for sample in found.samples if sample.label]
    if not labelled:
        raise UsageError(f"no image in {images[0]} has a label in {labels}", "Labels are PNGs, named like the images.")
    drawn = _drawn(labelled, samples)
    return dataclasses.replace(found, samples=tuple(drawn))


def _drawn(found: Sequence[Item], samples: int) -> list[Item]:
    return random.Random(0).sample(found, min(samples, len(found)))


def _difference(labelled: Dataset, made: Quantization, *, definition: Definition) -> RunDifference:
    """The change of mIoU in int8, on the images held back."""
    from semask_cli.evaluation.labels_difference import labels_difference

    held_back = dataclasses.replace(labelled, samples=tuple(labelled.samples[number] for number in made.held_back))
    return labels_difference(held_back, ("float32", "int8"), made.labels, definition=definition)
