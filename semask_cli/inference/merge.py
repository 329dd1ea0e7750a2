"""From predictions to scores and labels at the image's size, tile by tile.

Nothing of the size classes x height x width is ever held: each view answers for a tile of the image, the answers are
averaged, and the tile is reduced to labels before the next one is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semask_cli.inference.sliding_window import Mosaic
from semask_cli.models.prediction import Prediction
from semask_cli.ops import resize_accumulate, resize_argmax
from semask_cli.ops.cuda_resize import padded
from semask_cli.ops.resize import greatest, needed

log = logging.getLogger(__name__)

TILE = 128  # pixels: the scores of 150 classes fit a processor's caches
MEMORY = 1 << 30  # bytes for class scores, unless the user says otherwise
CLASSES = 256  # at most, as labels are uint8


@dataclass(frozen=True, slots=True)
class ViewPrediction:
    """What the network says about one view of the image."""

    prediction: Prediction
    flipped: bool = False


class Merge:
    """The scores of an image of `size` (height, width), averaged over views.

    `softmax` says what is averaged, as published: the softmax of logits (Semantic-FPN), or the class map as it is (mask
    classification). `memory` bounds, in bytes, the scores of a tile and what windows hold that wait for theirs.
    """

    def __init__(
        self,
        views: Sequence[ViewPrediction],
        *,
        size: tuple[int, int],
        softmax: bool,
        device: torch.device,
        memory: int,
    ) -> None:
        self.views, self.size, self.softmax = views, size, softmax
        self.device, self.memory = device, memory

    def scores(self) -> Tensor:
        """The averaged scores of the whole image: (classes, height, width), float32, on the CPU."""
        full: Tensor | None = None
        for ys, xs, scores in self._each_tile(self._scores):
            if full is None:
                full = torch.empty(len(scores), *self.size)
            full[:, ys, xs] = scores.cpu()
        assert full is not None
        return full

    def labels(self) -> Tensor:
        """The class with the best score, for each pixel: uint8 (height, width), on the CPU."""
        labels = torch.empty(self.size, dtype=torch.uint8)
        for ys, xs, tile in self._each_tile(self._labels):
            labels[ys, xs] = tile
        return labels

    def labels_and_scores(self) -> tuple[Tensor, Tensor]:
        """As `labels`, and the best score, float32 (height, width)."""
        labels, best = torch.empty(self.size, dtype=torch.uint8), torch.empty(self.size)
        for ys, xs, scores in self._each_tile(self._scores):
            best[ys, xs], labels[ys, xs] = greatest(scores)
        return labels, best

    def _each_tile(self, reduce: Callable[[range, range], Tensor]) -> Iterator[tuple[slice, slice, Tensor]]:
        """Rows and columns of each tile and what they reduce to, in bands of columns, each from top to bottom."""
        height, width = self.size
        mosaics = [view.prediction for view in self.views if isinstance(view.prediction, Mosaic)]
        waiting = sum(mosaic.nbytes for mosaic in mosaics)
        band = -(-width // max(1, -(-waiting // self.memory)))
        for left in range(0, width, band):
            right = min(left + band, width)
            y = 0
            while y < height:
                rows, columns = self._tile(band)
                ys = range(y, min(y + rows, height))
                for x in range(left, right, columns):
                    xs = range(x, min(x + columns, right))
                    try:
                        tile = reduce(ys, xs)
                    except torch.OutOfMemoryError:
                        self._leave_device()
                        tile = reduce(ys, xs)
                    yield slice(ys.start, ys.stop), slice(xs.start, xs.stop), tile
                y += rows
            for mosaic in mosaics:
                mosaic.forget()

    def _tile(self, band: int) -> tuple[int, int]:
        """How many rows and columns are merged at a time: on a GPU whole rows, to give it enough to do."""
        if self.device.type == "cuda":
            return max(1, self.memory // (2 * CLASSES * band * torch.float32.itemsize)), band
        # Where a view is larger than the image, a tile is as large in the view.
        height, width = (max(sizes) for sizes in zip(self.size, *(v.prediction.size for v in self.views), strict=True))
        return max(1, TILE * self.size[0] // height), max(1, TILE * self.size[1] // width)

    def _leave_device(self) -> None:
        log.warning("out of memory on %s: merging on the CPU", self.device)
        self.device = torch.device("cpu")
        self.views = [replace(view, prediction=view.prediction.cpu()) for view in self.views]

    def _scores(self, ys: range, xs: range) -> Tensor:
        """The averaged scores of a tile: (classes, rows, columns)."""
        total: Tensor | None = None
        for view in self.views:
            maps, *resize = self._class_map(view, ys, xs)
            if total is None:
                total = maps.new_zeros(len(maps), len(ys), padded(len(xs)))[..., : len(xs)]
            resize_accumulate(total, maps, *resize, flip=view.flipped, softmax=self.softmax)
        assert total is not None
        return total.div_(len(self.views)) if len(self.views) > 1 else total

    def _labels(self, ys: range, xs: range) -> Tensor:
        [view, *others] = self.views
        if others:
            return greatest(self._scores(ys, xs))[1]
        return resize_argmax(*self._class_map(view, ys, xs))  # softmax keeps the order of one view's logits

    def _class_map(self, view: ViewPrediction, ys: range, xs: range) -> tuple[Tensor, *tuple[Sequence[int], ...]]:
        """What a tile of the image is made of in a view, and how: the arguments of an operator of `ops.resize`."""
        (height, width), (view_height, view_width) = self.size, view.prediction.size
        if view.flipped:  # columns count from the right
            xs = range(width - xs.stop, width - xs.start)
        rows = needed((view_height, height), ys.start, ys.stop)
        columns = needed((view_width, width), xs.start, xs.stop)
        part = view.prediction.class_map(rows, columns)
        heights, widths = (*part.heights, height), (*part.widths, width)
        return part.maps, heights, widths, (ys.start, ys.stop), (xs.start, xs.stop), part.origin
