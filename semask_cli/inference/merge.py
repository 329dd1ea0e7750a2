"""From predictions to scores and labels at the picture's size, tile by tile.

Nothing of the size classes x height x width is ever held: each view answers for a tile of the picture, the answers are
averaged, and the tile is reduced to labels before the next one is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from semask_cli.models.prediction import DenseLogits, Prediction
from semask_cli.models.resampling import Taps, bilinear, resample

TILE = 128  # pixels: the scores of 150 classes fit a processor's caches
GPU_TILE = 1024  # pixels: enough work for a GPU at a time


@dataclass(frozen=True, slots=True)
class ViewPrediction:
    """What the network says about one view of the picture."""

    prediction: Prediction
    flipped: bool = False


@dataclass(frozen=True, kw_only=True)
class Merge:
    """The scores of a picture of `size` (height, width), averaged over views.

    `softmax` says what is averaged, as published: the softmax of logits (Semantic-FPN), or the class map as it is (mask
    classification).
    """

    views: Sequence[ViewPrediction]
    size: tuple[int, int]
    softmax: bool
    device: torch.device

    def scores(self) -> Tensor:
        """The averaged scores of the whole picture: (classes, height, width), float32, on the CPU."""
        full: Tensor | None = None
        for ys, xs in self._tiles():
            tile = self._scores(ys, xs)
            if full is None:
                full = torch.empty(len(tile), *self.size)
            full[:, ys, xs] = tile.cpu()
        assert full is not None
        return full

    def labels(self) -> Tensor:
        """The class with the best score, for each pixel: uint8 (height, width), on the CPU."""
        labels = torch.empty(self.size, dtype=torch.uint8)
        for ys, xs in self._tiles():
            labels[ys, xs] = self._labels(ys, xs)
        return labels

    def labels_and_scores(self) -> tuple[Tensor, Tensor]:
        """As `labels`, and the best score, float32 (height, width)."""
        labels, best = torch.empty(self.size, dtype=torch.uint8), torch.empty(self.size)
        for ys, xs in self._tiles():
            best[ys, xs], labels[ys, xs] = _max(self._scores(ys, xs))
        return labels, best

    def _tiles(self) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of each tile: from top to bottom, the order in which views expect to be asked."""
        height, width = self.size
        side = GPU_TILE if self.device.type == "cuda" else TILE
        for y in range(0, height, side):
            for x in range(0, width, side):
                yield slice(y, min(y + side, height)), slice(x, min(x + side, width))

    def _scores(self, ys: slice, xs: slice) -> Tensor:
        """The averaged scores of a tile: (classes, rows, columns)."""
        total: Tensor | None = None
        for view in self.views:
            scores = view.prediction.resample(*self._taps(view, ys, xs))
            scores = scores.softmax(0) if self.softmax else scores
            scores = scores.flip(2) if view.flipped else scores
            total = scores if total is None else total.add_(scores)
        assert total is not None
        return total.div_(len(self.views)) if len(self.views) > 1 else total

    def _labels(self, ys: slice, xs: slice) -> Tensor:
        prediction = self.views[0].prediction
        if len(self.views) > 1 or not isinstance(prediction, DenseLogits):
            return _max(self._scores(ys, xs))[1]
        # Softmax keeps the order of one view's logits, and few classes can win in a tile.
        rows, columns = self._taps(self.views[0], ys, xs)
        rows, columns = (
            taps.after(count, size)
            for taps, count, size in zip((rows, columns), prediction.logits.shape[1:], prediction.size, strict=True)
        )
        near = self._contenders[:, rows.first : rows.stop, columns.first : columns.stop]
        classes = near.flatten(1).any(1).nonzero()[:, 0]
        logits = prediction.logits[:, rows.first : rows.stop, columns.first : columns.stop]
        return classes[_max(resample(logits[classes], rows.inside(), columns.inside()))[1].int()]

    @cached_property
    def _contenders(self) -> Tensor:
        prediction = self.views[0].prediction
        assert isinstance(prediction, DenseLogits)
        return prediction.contenders()

    def _taps(self, view: ViewPrediction, ys: slice, xs: slice) -> tuple[Taps, Taps]:
        """Where a tile's rows and columns lie in a view; a flipped view's columns count from the right."""
        (height, width), (view_height, view_width) = self.size, view.prediction.size
        if view.flipped:
            xs = slice(width - xs.stop, width - xs.start)
        return bilinear(view_height, height, ys.start, ys.stop), bilinear(view_width, width, xs.start, xs.stop)


def _max(scores: Tensor) -> tuple[Tensor, Tensor]:
    """scores.max(0) of (classes, rows, columns), fewer than 256 classes: the best score, and its class as uint8.

    On a CPU torch finds a maximum along the first dimension twenty times as fast as its index: so the index is the
    first place where the maximum stands.
    """
    best = scores.amax(0)
    countdown = torch.arange(len(scores), 0, -1, dtype=torch.uint8, device=scores.device)
    first = (scores == best).view(torch.uint8).mul_(countdown[:, None, None]).amax(0)
    return best, (len(scores) - first).clamp_(max=len(scores) - 1)  # nothing equals a NaN
