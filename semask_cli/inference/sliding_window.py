"""Sliding-window inference: one view, seen through overlapping windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semask_cli.inference.views import Recipe, windows
from semask_cli.models.prediction import ClassMap, Prediction
from semask_cli.ops import resize_accumulate

Predict = Callable[[list[NDArray[np.uint8]]], list[Prediction]]


class Mosaic:
    """The Prediction of a view (H, W, 3), averaged where windows overlap.

    What is averaged is the class map at the view's size, as published. Rows are asked for from top to bottom: windows
    are looked at when their rows are due and forgotten when these have passed, so that a view of any height costs the
    memory of a few rows of windows. For a wide view the same is done in one band of columns after the other, with
    `forget` between them.
    """

    def __init__(self, view: NDArray[np.uint8], recipe: Recipe, predict: Predict) -> None:
        self.view, self.predict = view, predict
        self.size = (view.shape[0], view.shape[1])
        self.grid = list(windows(*self.size, recipe))
        self._seen: dict[tuple[int, int], Prediction] = {}
        # How many windows look at a pixel is the product of how many cover its row and its column.
        self._cover_y = _cover(self.size[0], [row[0][0] for row in self.grid])
        self._cover_x = _cover(self.size[1], [x for _, x in self.grid[0]])

    @property
    def nbytes(self) -> int:
        """What the windows hold that wait while rows are merged, if these are asked for in one band."""
        [first] = self._look([(0, 0)])
        # Windows over a row, and those whose own rows begin within the next few.
        waiting = int(self._cover_y.max()) + 1
        return first.nbytes * len(self.grid[0]) * min(waiting, len(self.grid))

    def class_map(self, rows: range, columns: range) -> ClassMap:
        """The mean of what the windows say."""
        self._seen = {(i, j): seen for (i, j), seen in self._seen.items() if self.grid[i][j][0].stop > rows.start}
        here = [
            (i, j)
            for i, row in enumerate(self.grid)
            if _overlap(row[0][0], rows)
            for j, (_, window_x) in enumerate(row)
            if _overlap(window_x, columns)
        ]
        total: Tensor | None = None
        for (i, j), prediction in zip(here, self._look(here), strict=True):
            window_y, window_x = self.grid[i][j]
            ys, xs = _overlap(window_y, rows), _overlap(window_x, columns)
            inside_y, inside_x = _within(window_y, ys), _within(window_x, xs)
            part = prediction.class_map(inside_y, inside_x)
            if total is None:
                total = part.maps.new_zeros(len(part.maps), len(rows), len(columns))
            place = total[:, ys.start - rows.start : ys.stop - rows.start]
            place = place[..., xs.start - columns.start : xs.stop - columns.start]
            spans = (inside_y.start, inside_y.stop), (inside_x.start, inside_x.stop)
            resize_accumulate(place, part.maps, part.heights, part.widths, *spans, part.origin)
        assert total is not None  # windows cover every row and column
        cover = self._cover_y[rows.start : rows.stop, None] * self._cover_x[columns.start : columns.stop]
        total.div_(cover.to(total.device))
        return ClassMap(total, (self.size[0],), (self.size[1],), (rows.start, columns.start))

    def forget(self) -> None:
        """Forget all windows, to begin at the top again; those that are asked for again are looked at anew."""
        self._seen.clear()

    def cpu(self) -> Self:
        """From now on windows are still looked at where the network is, and wait in the CPU's memory."""
        predict = self.predict
        self.predict = lambda images: [prediction.cpu() for prediction in predict(images)]
        self._seen = {place: prediction.cpu() for place, prediction in self._seen.items()}
        return self

    def _look(self, places: list[tuple[int, int]]) -> list[Prediction]:
        """What is seen through these windows; those that are new are looked at together."""
        new = [place for place in places if place not in self._seen]
        if new:
            views = [self.view[self.grid[i][j]] for i, j in new]
            self._seen.update(zip(new, self.predict(views), strict=True))
        return [self._seen[place] for place in places]


def _overlap(window: slice, wanted: range) -> range:
    return range(max(window.start, wanted.start), min(window.stop, wanted.stop))


def _within(window: slice, positions: range) -> range:
    return range(positions.start - window.start, positions.stop - window.start)


def _cover(length: int, spans: list[slice]) -> Tensor:
    cover = torch.zeros(length)
    for span in spans:
        cover[span] += 1
    return cover
