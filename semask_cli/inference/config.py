"""How an image becomes network inputs: the settings of inference, checked once."""

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

    `scales` are factors of the row's test size; None is the test size itself, "native" the image as it is. In mode
    "slide" windows of `crop` (height, width) are placed every `stride` pixels over each view. With `flip` each view is
    taken mirrored too.

    Raises:
        UsageError: an unknown mode, a window without pixels, a stride that would miss some, a scale of 0 or less.
    """

    mode: Mode = "whole"
    crop: tuple[int, int]
    stride: tuple[int, int]
    scales: Scales = None
    flip: bool = False

    def __post_init__(self) -> None:
        if self.mode not in ("whole", "slide"):
            raise UsageError(f"mode {self.mode!r} is neither whole nor slide")
        if min(self.crop) < 1:
            raise UsageError(f"a crop of {self.crop}: a window has a pixel or more")
        if min(self.stride) < 1 or self.stride[0] > self.crop[0] or self.stride[1] > self.crop[1]:
            raise UsageError(f"stride {self.stride} must be between 1 and the crop {self.crop}, or pixels are missed")
        if self.scales is None or self.scales == "native":
            return
        if not self.scales or not all(0 < scale <= MAX_SCALE for scale in self.scales):
            raise UsageError(f"scales must be numbers above 0, up to {MAX_SCALE}, not {self.scales}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What is kept of the scores besides the labels; each takes longer.

    `confidence` is the score of each pixel's class, `entropy` that of all its scores, `top` the number of classes whose
    scores are kept, best first (0: none; as many as there are: all).
    """

    confidence: bool = False
    entropy: bool = False
    top: int = 0

    def __bool__(self) -> bool:
        return self.confidence or self.entropy or self.top > 0


LABELS_ALONE = Keep()
