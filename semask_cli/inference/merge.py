"""From the views' predictions to scores and labels at the image's size, tile by tile.

Nothing of the size classes x height x width is ever held: the class scores of the views are averaged for a tile of the
image, and reduced to labels before the next tile.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from semask_cli.inference.config import LABELS_ALONE, Keep
from semask_cli.inference.memory import is_out_of_memory
from semask_cli.inference.transfers import to_host
from semask_cli.models.prediction import Prediction
from semask_cli.ops import Resample, resize_accumulate, resize_argmax
from semask_cli.ops.resample import source_range
from semask_cli.ops.resize import max_and_argmax, new_scores

log = logging.getLogger(__name__)

TILE = 128  # pixels: the scores of 150 classes fit the CPU's caches
MEMORY = 1 << 30  # bytes for class scores, by default
CLASSES = 256  # at most, as labels are uint8


@dataclass(frozen=True, slots=True)
class View:
    """The prediction of an image at one size, mirrored or not."""

    prediction: Prediction
    flipped: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge, each (height, width): `labels` uint8, and float32 `confidence` and `entropy`.

    `scores` float16 and `score_labels` uint8 (classes, height, width) are the best classes, best first. If all classes
    are kept, they are in their order, and `score_labels` is None.
    """

    labels: Tensor
    confidence: Tensor | None = None
    entropy: Tensor | None = None
    scores: Tensor | None = None
    score_labels: Tensor | None = None

    @classmethod
    def empty(cls, scores: Tensor, size: tuple[int, int], keep: Keep) -> Merged:
        """An uninitialised result for an image of `size`; classes, device and dtype are those of a tile's `scores`."""
        top = min(keep.top, len(scores))
        return cls(
            scores.new_empty(size, dtype=torch.uint8),
            scores.new_empty(size) if keep.confidence else None,
            scores.new_empty(size) if keep.entropy else None,
            scores.new_empty((top, *size), dtype=torch.float16) if top else None,
            scores.new_empty((top, *size), dtype=torch.uint8) if 0 < top < len(scores) else None,
        )

    def fill(self, rows: slice, columns: slice, scores: Tensor) -> None:
        """Fill in a tile from its scores (classes, rows, columns)."""
        best, self.labels[rows, columns] = max_and_argmax(scores)
        if self.confidence is not None:
            self.confidence[rows, columns] = best
        if self.entropy is not None:
            self.entropy[rows, columns] = relative_entropy(scores)
        if self.scores is not None and self.score_labels is None:
            self.scores[:, rows, columns] = scores
        elif self.scores is not None and self.score_labels is not None:
            values, index = scores.topk(len(self.scores), dim=0)
            self.scores[:, rows, columns], self.score_labels[:, rows, columns] = values, index

    def to_host(self) -> Merged:
        """The same on the CPU."""
        held = (getattr(self, each.name) for each in fields(self))
        return Merged(*(None if values is None else to_host(values) for values in held))  # type: ignore[arg-type]


def relative_entropy(scores: Tensor) -> Tensor:
    """The normalised entropy (h, w) of each pixel's scores (classes, h, w): 0 for one class, 1 for a uniform score.

    Scores of mask classification do not sum to 1 and are divided by their sum.
    """
    shares = scores / scores.sum(0, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)
    return torch.special.entr(shares).sum(0).div_(math.log(len(scores))) if len(scores) > 1 else scores[0] * 0


class Merge:
    """The scores of an image of `size` (height, width), averaged over `views`.

    As published, either the softmax of the class maps is averaged (Semantic-FPN, `softmax`), or the class maps
    themselves (mask classification). `memory` bounds, in bytes, the scores of a tile and the predictions' buffers.
    """

    def __init__(
        self,
        views: Sequence[View],
        *,
        size: tuple[int, int],
        softmax: bool,
        device: torch.device,
        memory: int,
    ) -> None:
        self.views, self.size, self.softmax = list(views), size, softmax
        self.device, self.memory = device, memory

    def resized(self, size: tuple[int, int]) -> Merge:
        """The same views, merged at another size."""
        return Merge(self.views, size=size, softmax=self.softmax, device=self.device, memory=self.memory)

    def scores(self) -> Tensor:
        """The averaged scores of the whole image: (classes, height, width) float32, on the CPU."""
        full: Tensor | None = None
        for rows, columns, scores in self._each_tile(self._scores):
            if full is None:
                full = torch.empty(len(scores), *self.size)
            full[:, rows, columns] = scores.cpu()
        assert full is not None
        return full

    def labels(self) -> Tensor:
        """The argmax of the scores: (height, width) uint8, on the device of the merge."""
        labels: Tensor | None = None
        for rows, columns, tile in self._each_tile(self._labels):
            labels = tile.new_empty(self.size) if labels is None else labels
            labels[rows, columns] = tile
        assert labels is not None
        return labels

    def merged(self, keep: Keep = LABELS_ALONE) -> Merged:
        """The labels, and the scores to `keep`, on the device of the merge."""
        if not keep:
            return Merged(self.labels())
        full: Merged | None = None
        for rows, columns, scores in self._each_tile(self._scores):
            full = full or Merged.empty(scores, self.size, keep)
            full.fill(rows, columns, scores)
        assert full is not None
        return full

    def _each_tile(self, reduce: Callable[[range, range], Tensor]) -> Iterator[tuple[slice, slice, Tensor]]:
        """Rows, columns and reduced scores of each tile, in bands of columns, each from top to bottom."""
        height, width = self.size
        buffer = sum(view.prediction.buffer_nbytes for view in self.views)
        band_width = -(-width // max(1, -(-buffer // self.memory)))
        for left in range(0, width, band_width):
            right = min(left + band_width, width)
            y = 0
            while y < height:
                tile_height, tile_width = self._tile_size(band_width)
                rows = range(y, min(y + tile_height, height))
                for x in range(left, right, tile_width):
                    columns = range(x, min(x + tile_width, right))
                    tile = self._if_it_fits(reduce, rows, columns)
                    if tile is None:  # only now the memory of the failed attempt is free
                        self._move_to_cpu()
                        tile = reduce(rows, columns)
                    yield slice(rows.start, rows.stop), slice(columns.start, columns.stop), tile
                y += tile_height
            self.views = [replace(view, prediction=view.prediction.released()) for view in self.views]

    def _if_it_fits(self, reduce: Callable[[range, range], Tensor], rows: range, columns: range) -> Tensor | None:
        """The tile, or None if a GPU is out of memory."""
        try:
            return reduce(rows, columns)
        except RuntimeError as error:
            if self.device.type == "cpu" or not is_out_of_memory(error):
                raise
            return None

    def _tile_size(self, band_width: int) -> tuple[int, int]:
        """The size of a tile: on a GPU whole rows, to keep it busy."""
        if self.device.type != "cpu":
            return max(1, self.memory // (2 * CLASSES * band_width * torch.float32.itemsize)), band_width
        # If a view is larger than the image, the tile has this size in the view.
        height, width = (max(sizes) for sizes in zip(self.size, *(v.prediction.size for v in self.views), strict=True))
        return max(1, TILE * self.size[0] // height), max(1, TILE * self.size[1] // width)

    def _move_to_cpu(self) -> None:
        log.warning("out of memory on %s: merging on the CPU", self.device)
        self.device = torch.device("cpu")
        self.views = [replace(view, prediction=view.prediction.to(self.device)) for view in self.views]

    def _scores(self, rows: range, columns: range) -> Tensor:
        """The averaged scores of a tile: (classes, rows, columns)."""
        total: Tensor | None = None
        for view in self.views:
            maps, resample = self._class_map(view, rows, columns)
            if total is None:
                total = new_scores(maps, resample)
            resize_accumulate(total, maps, resample, flip=view.flipped, softmax=self.softmax)
        assert total is not None
        return total.div_(len(self.views)) if len(self.views) > 1 else total

    def _labels(self, rows: range, columns: range) -> Tensor:
        if len(self.views) > 1:
            return max_and_argmax(self._scores(rows, columns))[1]
        return resize_argmax(*self._class_map(self.views[0], rows, columns))  # softmax keeps the order of the logits

    def _class_map(self, view: View, rows: range, columns: range) -> tuple[Tensor, Resample]:
        """The class maps of a view for a tile of the image, and the resizes to the tile."""
        (height, width), (view_height, view_width) = self.size, view.prediction.size
        if view.flipped:  # columns count from the right
            columns = range(width - columns.stop, width - columns.start)
        view_rows = source_range((view_height, height), rows)
        view_columns = source_range((view_width, width), columns)
        class_map = view.prediction.class_map(view_rows, view_columns)
        return class_map.maps, class_map.resample(rows, columns, size=self.size)
