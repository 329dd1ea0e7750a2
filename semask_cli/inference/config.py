"""The settings of inference: how an image becomes network inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from semask_cli.errors import UsageError

Mode = Literal["whole", "slide"]
Engine = Literal["torch", "openvino"]
Scales = tuple[float, ...] | Literal["native"] | None

MAX_SCALE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    """The views of an image that are merged.

    `scales` are factors of the model's test size; None is the test size itself, "native" the image's own size. In mode
    "slide", windows of `crop` (height, width) are placed every `stride` pixels over each view. `flip` adds each view
    mirrored.

    Raises:
        UsageError: an unknown mode, an empty window, a stride larger than the crop, or an invalid scale or flip.
    """

    mode: Mode = "whole"
    crop: tuple[int, int]
    stride: tuple[int, int]
    scales: Scales = None
    flip: bool = False

    def __post_init__(self) -> None:
        if self.mode not in ("whole", "slide"):
            raise UsageError(f"mode {self.mode!r} is neither whole nor slide")
        if not isinstance(self.flip, bool):
            raise UsageError(f"flip is True or False, not {self.flip!r}")
        if min(self.crop) < 1:
            raise UsageError(f"crop {self.crop} must be at least 1 pixel per side")
        if min(self.stride) < 1 or self.stride[0] > self.crop[0] or self.stride[1] > self.crop[1]:
            raise UsageError(f"stride {self.stride} must be between 1 and the crop {self.crop}, or pixels are missed")
        if self.scales is None or self.scales == "native":
            return
        if not self.scales or not all(0 < scale <= MAX_SCALE for scale in self.scales):
            raise UsageError(f"scales must be numbers above 0, up to {MAX_SCALE}, not {self.scales}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What to keep besides the labels; each takes more time.

    `confidence` is the score of each pixel's class, `entropy` that of its scores, `top` the number of best classes per
    pixel whose scores are kept (0: none; the number of classes: all).

    Raises:
        UsageError: `top` is no such number.
    """

    confidence: bool = False
    entropy: bool = False
    top: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.top, int) or self.top < 0:
            raise UsageError(f"the {self.top!r} best classes of a pixel cannot be kept", "Give a number from 0 up.")

    def __bool__(self) -> bool:
        return self.confidence or self.entropy or self.top > 0


LABELS_ALONE = Keep()
