"""Exponential smoothing of class scores over the frames of a video, against flicker.

s(t) = weight · s(t-1) + (1 - weight) · p(t), where p are the merged scores of frame t at half its height and width, to
save memory. The labels are the argmax of s, resized.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semask_cli.errors import UsageError
from semask_cli.inference.merge import Merge, View
from semask_cli.models.prediction import DenseLogits

BLOCK = 250
"""Frames after which smoothing restarts, so that a resumed run need not begin at the first frame."""

REDUCTION = 2


class Smoothing:
    """The state of smoothing over consecutive frames of one size.

    Raises:
        UsageError: the weight is not in [0, 1).
    """

    def __init__(self, weight: float) -> None:
        if not 0 <= weight < 1:
            raise UsageError(f"the weight {weight} of earlier frames is not from 0 to below 1", "Try --smooth 0.3.")
        self.weight = weight
        self._frames = 0
        self._scores: Tensor | None = None

    def labels(self, merge: Merge) -> Tensor:
        """The labels of the next frame, from its merge and the state: (height, width) uint8, on the CPU."""
        height, width = merge.size
        scores = merge.resized((-(-height // REDUCTION), -(-width // REDUCTION))).scores()
        if self._scores is not None and self._frames % BLOCK:
            scores = torch.lerp(scores, self._scores, self.weight)
        self._frames, self._scores = self._frames + 1, scores
        view = View(DenseLogits(scores, merge.size))
        return Merge([view], size=merge.size, softmax=False, device=scores.device, memory=merge.memory).labels()
