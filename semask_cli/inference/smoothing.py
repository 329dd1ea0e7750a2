"""Frames of a video, whose scores are averaged with those of the frames before: labels flicker less.

Exponential smoothing: s(t) = weight · s(t-1) + (1 - weight) · p(t), of the merged scores p of frame t at half
its height and width: a quarter of a frame's scores is remembered. The labels are the argmax of s, resized.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semask_cli.errors import UsageError
from semask_cli.inference.merge import Merge, View
from semask_cli.models.prediction import DenseLogits

BLOCK = 250
"""Frames after which smoothing starts over, so that a run that is continued need not begin at the first frame."""

REDUCTION = 2


class Smoothing:
    """What is remembered of the frames before. Asked for frame after frame, all of one size.

    Raises:
        UsageError: a weight below 0, or from 1 on, with which nothing new would be seen.
    """

    def __init__(self, weight: float) -> None:
        if not 0 <= weight < 1:
            raise UsageError(f"a weight of {weight} for earlier frames is not from 0 up to 1", "As in --smooth 0.3.")
        self.weight = weight
        self._frames = 0
        self._scores: Tensor | None = None

    def labels(self, merge: Merge) -> Tensor:
        """The labels of the next frame, from its merge and from what was before: uint8 (height, width), CPU."""
        height, width = merge.size
        scores = merge.resized((-(-height // REDUCTION), -(-width // REDUCTION))).scores()
        if self._scores is not None and self._frames % BLOCK:
            scores = torch.lerp(scores, self._scores, self.weight)
        self._frames, self._scores = self._frames + 1, scores
        view = View(DenseLogits(scores, merge.size))
        return Merge([view], size=merge.size, softmax=False, device=scores.device, memory=merge.memory).labels()
