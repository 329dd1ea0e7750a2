"""The options that select and configure a model, shared by `predict`, `eval` and `bench`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from semask_cli.cli.completion import complete_model
from semask_cli.cli.dataset_options import DatasetName
from semask_cli.cli.reporting import fetching
from semask_cli.errors import UsageError

if TYPE_CHECKING:
    from semask_cli.inference.segmenter import Segmenter
    from semask_cli.ray import ClusterModel

_MODEL, _VIEWS, _MACHINE = "Model", "Views", "Machine"

ModelName = Annotated[
    str, typer.Argument(metavar="NAME", help="A model, as `semask models` lists them.", autocompletion=complete_model)
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_MODEL,
        help="A .pth, .pkl or .safetensors file instead of the published one.",
    ),
]
ZooFile = Annotated[
    Path | None,
    typer.Option("--zoo", metavar="FILE", rich_help_panel=_MODEL, help="A TOML file with your own models."),
]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model and its inference settings, as given on the command line.

    A field is the argument of `semask_cli.load` of the same name, except `threads` and `ms_flip` (see `arguments`).
    """

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            rich_help_panel=_MODEL,
            autocompletion=complete_model,
            help="A model of `semask models` or --zoo; by default the starred one of --dataset, or of ade20k.",
        ),
    ] = None
    dataset: DatasetName = None
    checkpoint: CheckpointFile = None
    zoo: ZooFile = None
    ms_flip: Annotated[
        bool,
        typer.Option("--ms-flip", rich_help_panel=_VIEWS, help="Average over the published scales, each mirrored too."),
    ] = False
    mode: Annotated[
        Literal["whole", "slide"] | None,
        typer.Option(
            rich_help_panel=_VIEWS,
            help="Predict the whole image at once (the default, except for a raster), or in sliding windows.",
        ),
    ] = None
    crop: Annotated[
        str | None, typer.Option(metavar="N|HxW", rich_help_panel=_VIEWS, help="Window of --mode slide, in pixels.")
    ] = None
    stride: Annotated[
        str | None, typer.Option(metavar="N|HxW", rich_help_panel=_VIEWS, help="Step of the windows, in pixels.")
    ] = None
    scales: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            rich_help_panel=_VIEWS,
            help="Factors of the test size to average over, such as 0.75,1,1.25; or native: the image's own size.",
        ),
    ] = None
    flip: Annotated[
        bool, typer.Option("--flip", rich_help_panel=_VIEWS, help="Average with the mirrored image too.")
    ] = False
    device: Annotated[
        str, typer.Option(metavar="NAME", rich_help_panel=_MACHINE, help="auto, cpu, cuda, cuda:N or mps.")
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "tf32", "fp16", "bf16", "int8"],
        typer.Option(
            metavar="NAME",
            rich_help_panel=_MACHINE,
            help="auto, fp32, tf32, fp16, bf16 or int8. auto is bf16 on Ampere and later GPUs, else fp32. fp16 is for"
            " earlier GPUs (T4, RTX 20), int8 for CPUs, after `semask quantize`.",
        ),
    ] = "auto"
    engine: Annotated[
        Literal["torch", "openvino"],
        typer.Option(
            metavar="NAME",
            rich_help_panel=_MACHINE,
            help="The engine that runs the network: torch, or openvino on a CPU, which compiles once per image size.",
        ),
    ] = "torch"
    quantized: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_MACHINE,
            help="For int8: a file of `semask quantize -o`, not the cached one.",
        ),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, metavar="N", rich_help_panel=_MACHINE, help="CPU threads; all cores by default."),
    ] = None
    memory_budget: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            rich_help_panel=_MACHINE,
            help="Such as 2G or 500M. On a GPU, the most that an image may take beyond the weights; on a CPU, the most"
            " for scores waiting to be merged (default 1G).",
        ),
    ] = None
    cuda_graphs: Annotated[
        bool | None,
        typer.Option(
            "--cuda-graphs/--no-cuda-graphs",
            rich_help_panel=_MACHINE,
            help="Replay the network from CUDA graphs for recurring input sizes; by default on NVIDIA GPUs.",
        ),
    ] = None

    def load(self, *, random_weights: bool = False) -> Segmenter:
        """Load the model. A download shows its progress.

        Raises:
            UsageError: as `arguments`; otherwise as `semask_cli.load`.
        """
        import torch

        from semask_cli.api import load

        arguments = self.arguments()
        model = arguments.pop("model")
        if self.threads:
            torch.set_num_threads(self.threads)
        with fetching(model or f"the model of {self.dataset or 'ade20k'}") as progress:
            return load(model, **arguments, random_weights=random_weights, progress=progress)

    def on_cluster(self) -> ClusterModel:
        """The model on the Ray cluster that this process has joined.

        Raises:
            UsageError: as `arguments`.
        """
        from semask_cli.ray import ClusterModel

        return ClusterModel.on_cluster(**self.arguments(), threads=self.threads)

    def arguments(self) -> dict[str, Any]:
        """The arguments of `semask_cli.load`, with its positional one as "model".

        Raises:
            UsageError: an option is invalid, or excludes another.
        """
        if self.ms_flip and self.scales:
            raise UsageError("--ms-flip uses the published scales", "Give it alone, or --scales with --flip.")
        if self.mode != "slide" and (self.crop or self.stride):
            raise UsageError("--crop and --stride are for sliding windows", "Add --mode slide.")
        arguments = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, parse in _PARSERS.items():
            arguments[name] = None if arguments[name] is None else parse(arguments[name])
        del arguments["threads"], arguments["ms_flip"]
        return arguments | ({"scales": "published", "flip": True} if self.ms_flip else {})


def parse_size(option: str, text: str) -> tuple[int, int]:
    """ "512" or "512x1024" (height x width), each from 1 to 999999.

    Raises:
        UsageError: the text is not a size; the message names the option.
    """
    match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.lower())
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (height and width):
        raise UsageError(f"{option} {text!r} is not a size", "Give pixels, such as 512 or 512x1024.")
    return height, width


def _parse_scales(text: str) -> tuple[float, ...] | Literal["native"]:
    if text == "native":
        return "native"
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--scales {text!r} is not a list of numbers", "Write it as 0.75,1,1.25.") from error


def _parse_bytes(text: str) -> int:
    """ "2G", "500M", in powers of 1024; without a letter, bytes."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    try:
        size = int(float(number) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[unit])
    except (KeyError, ValueError, OverflowError):
        size = 0
    if not 1 <= size < 1 << 50:
        raise UsageError(f"--memory-budget {text!r} is not an amount of memory", "Write it as 2G or 500M.")
    return size


_PARSERS: dict[str, Callable[[str], Any]] = {
    "crop": lambda text: parse_size("--crop", text),
    "stride": lambda text: parse_size("--stride", text),
    "scales": _parse_scales,
    "memory_budget": _parse_bytes,
}
