"""Sliding-window inference: one view, seen through overlapping windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semask_cli.inference.views import Recipe, windows
from semask_cli.models.prediction import Prediction
from semask_cli.models.resampling import Taps, resample

Predict = Callable[[list[NDArray[np.uint8]]], list[Prediction]]


class Mosaic:
    """The Prediction of a view (H, W, 3), averaged where windows overlap.

    What is averaged is the class map at the view's size, as published. Rows are asked for from top to bottom, so
    windows are looked at when their rows are due and forgotten when these have passed: a view of any height costs the
    memory of two rows of windows.
    """

    def __init__(self, view: NDArray[np.uint8], recipe: Recipe, predict: Predict) -> None:
        self.view, self.predict = view, predict
        self.size = (view.shape[0], view.shape[1])
        self.grid = list(windows(*self.size, recipe))
        self._seen: dict[int, list[Prediction]] = {}
        # How many windows look at a pixel is the product of how many cover its row and its column.
        self._cover_y = _cover(self.size[0], [row[0][0] for row in self.grid])
        self._cover_x = _cover(self.size[1], [x for _, x in self.grid[0]])

    def resample(self, rows: Taps, columns: Taps) -> Tensor:
        """The class map, sampled along its rows and columns: (classes, rows, columns), float32."""
        self._seen = {i: seen for i, seen in self._seen.items() if self.grid[i][0][0].stop > rows.first}
        total: Tensor | None = None
        for i, row in enumerate(self.grid):
            ys = _overlap(row[0][0], rows)
            if not ys:
                continue
            if i not in self._seen:
                self._seen[i] = self.predict([self.view[window] for window in row])
            for (window_y, window_x), prediction in zip(row, self._seen[i], strict=True):
                if xs := _overlap(window_x, columns):
                    part = prediction.resample(_within(window_y, ys), _within(window_x, xs))
                    if total is None:
                        total = part.new_zeros(len(part), rows.stop - rows.first, columns.stop - columns.first)
                    place = total[:, ys.start - rows.first : ys.stop - rows.first]
                    place[..., xs.start - columns.first : xs.stop - columns.first] += part
        assert total is not None  # windows cover every row and column
        cover = self._cover_y[rows.first : rows.stop, None] * self._cover_x[columns.first : columns.stop]
        return resample(total.div_(cover.to(total.device)), rows.inside(), columns.inside())


def _overlap(window: slice, taps: Taps) -> range:
    return range(max(window.start, taps.first), min(window.stop, taps.stop))


def _within(window: slice, positions: range) -> Taps:
    return Taps(positions.start - window.start, positions.stop - window.start)


def _cover(length: int, spans: list[slice]) -> Tensor:
    cover = torch.zeros(length)
    for span in spans:
        cover[span] += 1
    return cover
