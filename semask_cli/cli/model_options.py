"""The options that say which model looks at pictures, and how: shared by `predict`, `eval` and `bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from semask_cli.cli.download import fetching
from semask_cli.errors import UsageError

if TYPE_CHECKING:
    from semask_cli.inference.segmenter import Segmenter

_MODEL, _VIEWS, _MACHINE = "Model", "How pictures are looked at", "Machine"

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME", rich_help_panel=_MODEL, help="A model of `semask models`, or of --zoo."
    ),
]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset", "-d", metavar="NAME", rich_help_panel=_MODEL, help="ade20k, cityscapes or coco-stuff10k."
    ),
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", rich_help_panel=_MODEL, help="A .pth, .pkl or .safetensors file instead of the published one."
    ),
]
ZooFile = Annotated[
    Path | None, typer.Option("--zoo", metavar="FILE", rich_help_panel=_MODEL, help="Rows of your own.")
]
MsFlip = Annotated[
    bool,
    typer.Option("--ms-flip", rich_help_panel=_VIEWS, help="The published multi-scale list, each scale mirrored too."),
]
ViewMode = Annotated[
    Literal["whole", "slide"],
    typer.Option(rich_help_panel=_VIEWS, help="The whole picture at once, or sliding windows."),
]
Crop = Annotated[
    str | None, typer.Option(metavar="N|HxW", rich_help_panel=_VIEWS, help="Window of --mode slide, in pixels.")
]
Stride = Annotated[
    str | None, typer.Option(metavar="N|HxW", rich_help_panel=_VIEWS, help="Step of the windows, in pixels.")
]
Scales = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        rich_help_panel=_VIEWS,
        help="Factors of the test size to average over, as in 0.75,1,1.25; or native: the picture as it is.",
    ),
]
Flip = Annotated[bool, typer.Option("--flip", rich_help_panel=_VIEWS, help="Average with the mirrored picture.")]
Device = Annotated[str, typer.Option(metavar="NAME", rich_help_panel=_MACHINE, help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionName = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(rich_help_panel=_MACHINE, help="auto is bf16 on a GPU that is fast at it, else fp32."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, rich_help_panel=_MACHINE, help="Processor threads; all cores unless given.")
]


def load_segmenter(
    *,
    model: str | None,
    dataset: str | None,
    checkpoint: Path | None,
    zoo: Path | None,
    ms_flip: bool,
    mode: Literal["whole", "slide"],
    crop: str | None,
    stride: str | None,
    scales: str | None,
    flip: bool,
    device: str,
    precision: Literal["auto", "fp32", "bf16"],
    threads: int | None,
    random_weights: bool = False,
) -> Segmenter:
    """The segmenter that the options ask for; a checkpoint that has to be fetched shows its progress."""
    if ms_flip and scales:
        raise UsageError("--ms-flip brings the published scales", "Give it alone, or --scales with --flip.")
    chosen_crop = parse_size("--crop", crop) if crop else None
    chosen_stride = parse_size("--stride", stride) if stride else None
    chosen_scales = _scales(scales)
    import torch

    from semask_cli.api import load

    if threads:
        torch.set_num_threads(threads)
    with fetching(model or f"the model of {dataset or 'ade20k'}") as progress:
        return load(
            model,
            dataset=dataset,
            checkpoint=checkpoint,
            zoo=zoo,
            device=device,
            precision=precision,
            mode=mode,
            crop=chosen_crop,
            stride=chosen_stride,
            scales="published" if ms_flip else chosen_scales,
            flip=flip or ms_flip,
            random_weights=random_weights,
            progress=progress,
        )


def parse_size(option: str, text: str) -> tuple[int, int]:
    """ "512" or "512x1024" (height x width)."""
    height, _, width = text.lower().partition("x")
    try:
        return int(height), int(width or height)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is not a size", "Give pixels, as in 512 or 512x1024.") from error


def _scales(text: str | None) -> tuple[float, ...] | Literal["native"] | None:
    if text is None:
        return None
    if text == "native":
        return "native"
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--scales {text!r} is no list of numbers", "As in 0.75,1,1.25.") from error
