"""The options that say which model looks at images, and how: shared by `predict`, `eval` and `bench`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from semask_cli.cli.download import fetching
from semask_cli.errors import UsageError

if TYPE_CHECKING:
    from semask_cli.inference.segmenter import Segmenter

_MODEL, _VIEWS, _MACHINE = "Model", "How images are looked at", "Machine"

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
    typer.Option(rich_help_panel=_VIEWS, help="The whole image at once, or sliding windows."),
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
        help="Factors of the test size to average over, as in 0.75,1,1.25; or native: the image as it is.",
    ),
]
Flip = Annotated[bool, typer.Option("--flip", rich_help_panel=_VIEWS, help="Average with the mirrored image.")]
Device = Annotated[str, typer.Option(metavar="NAME", rich_help_panel=_MACHINE, help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionName = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(rich_help_panel=_MACHINE, help="auto is bf16 on a GPU that is fast at it, else fp32."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, rich_help_panel=_MACHINE, help="Processor threads; all cores unless given.")
]
MemoryBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        rich_help_panel=_MACHINE,
        help="As in 2G or 500M: what an image may take of a GPU, beyond the weights; on a CPU, what may wait to be"
        " merged (1G).",
    ),
]
Graphs = Annotated[
    bool,
    typer.Option(
        "--cuda-graphs",
        rich_help_panel=_MACHINE,
        help="On a GPU, replay the network for sizes of windows or images that come back.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model looks at images, and how, as the command line says it."""

    model: ModelName = None
    dataset: DatasetName = None
    checkpoint: CheckpointFile = None
    zoo: ZooFile = None
    ms_flip: MsFlip = False
    mode: ViewMode = "whole"
    crop: Crop = None
    stride: Stride = None
    scales: Scales = None
    flip: Flip = False
    device: Device = "auto"
    precision: PrecisionName = "auto"
    threads: Threads = None
    memory_budget: MemoryBudget = None
    cuda_graphs: Graphs = False

    def load(self, *, random_weights: bool = False) -> Segmenter:
        """The segmenter that the options ask for; a checkpoint that has to be fetched shows its progress."""
        if self.ms_flip and self.scales:
            raise UsageError("--ms-flip brings the published scales", "Give it alone, or --scales with --flip.")
        crop = parse_size("--crop", self.crop) if self.crop else None
        stride = parse_size("--stride", self.stride) if self.stride else None
        scales = _parse_scales(self.scales)
        memory = _parse_bytes("--memory-budget", self.memory_budget) if self.memory_budget else None
        import torch

        from semask_cli.api import load

        if self.threads:
            torch.set_num_threads(self.threads)
        with fetching(self.model or f"the model of {self.dataset or 'ade20k'}") as progress:
            return load(
                self.model,
                dataset=self.dataset,
                checkpoint=self.checkpoint,
                zoo=self.zoo,
                device=self.device,
                precision=self.precision,
                mode=self.mode,
                crop=crop,
                stride=stride,
                scales="published" if self.ms_flip else scales,
                flip=self.flip or self.ms_flip,
                memory_budget=memory,
                cuda_graphs=self.cuda_graphs,
                random_weights=random_weights,
                progress=progress,
            )


def with_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with each of ModelOptions as an option of its own, in the place of its parameter `look`."""
    own = inspect.signature(command, eval_str=True).parameters
    options = inspect.signature(ModelOptions, eval_str=True).parameters

    def spread(*arguments: Any, **values: Any) -> None:
        look = ModelOptions(**{name: values.pop(name) for name in options if name in values})
        command(*arguments, look=look, **values)

    parameters = [p for name, given in own.items() for p in (options.values() if name == "look" else [given])]
    # Typer reads the signature and the annotations.
    spread.__name__, spread.__doc__ = command.__name__, command.__doc__
    spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {p.name: p.annotation for p in parameters}
    return spread


def parse_size(option: str, text: str) -> tuple[int, int]:
    """ "512" or "512x1024" (height x width)."""
    height, _, width = text.lower().partition("x")
    try:
        return int(height), int(width or height)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is not a size", "Give pixels, as in 512 or 512x1024.") from error


def _parse_scales(text: str | None) -> tuple[float, ...] | Literal["native"] | None:
    if text is None:
        return None
    if text == "native":
        return "native"
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--scales {text!r} is no list of numbers", "As in 0.75,1,1.25.") from error


def _parse_bytes(option: str, text: str) -> int:
    """ "2G", "500M", in powers of 1024; without a letter, bytes."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    try:
        size = int(float(number) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[unit])
    except (KeyError, ValueError):
        size = 0
    if size < 1:
        raise UsageError(f"{option} {text!r} is no amount of memory", "As in 2G or 500M.")
    return size
