"""The data of a segmented image: labels, classes, and facts about the run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from semask_cli.io.images import RGB
from semask_cli.output.class_shares import ClassShare, class_shares

SCHEMA_VERSION = 1
"""Of the JSON document; increased when a key is removed or changes its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """How labels were computed.

    `checkpoint` is the SHA-256 of the published file, `engine` what ran the network, `milliseconds` the time by stage,
    `versions` those of the libraries. `mode` is "whole" or "slide"; `scales` (factors of the test size, or "native")
    and `flip` give the merged views.
    """

    model: str
    dataset: str
    checkpoint: str
    device: str
    precision: str
    engine: str
    mode: str
    scales: tuple[float, ...] | Literal["native"]
    flip: bool
    milliseconds: dict[str, float]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentedImage:
    """The labels of one image, in its displayed orientation.

    `labels` (H, W) uint8 are indices into the K `classes` and the `palette` (K, 3) uint8 RGB; `name` is the image's
    file name. The others are None unless they were kept: `image` (H, W, 3) uint8 RGB; `confidence` (H, W) float32, the
    score of each pixel's class; `entropy` (H, W) float32 of each pixel's scores, 0 to 1; `scores` (k, H, W) float16 of
    the k best classes `score_labels` (k, H, W) uint8, or of all classes in their order, without `score_labels`.
    """

    labels: NDArray[np.uint8]
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    info: RunInfo
    name: str = "image"
    image: RGB | None = None
    confidence: NDArray[np.float32] | None = None
    entropy: NDArray[np.float32] | None = None
    scores: NDArray[np.float16] | None = None
    score_labels: NDArray[np.uint8] | None = None

    def __repr__(self) -> str:
        height, width = self.labels.shape
        largest = ", ".join(f"{share.name} {share.share:.0%}" for share in self.shares()[:3])
        return f"<{type(self).__name__} of {width} x {height} pixels: {largest}>"

    def shares(self) -> tuple[ClassShare, ...]:
        """The classes present, largest first, with their pixels, share and mean confidence."""
        return class_shares(self.labels, self.classes, self.palette, confidence=self.confidence)

    def to_json(self) -> dict[str, Any]:
        """Size, classes present and run, as a document for json.dumps."""
        height, width = self.labels.shape
        return {
            "schema_version": SCHEMA_VERSION,
            "width": width,
            "height": height,
            "classes": [dataclasses.asdict(share) for share in self.shares()],
            "run": dataclasses.asdict(self.info),
        }
