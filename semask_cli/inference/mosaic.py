"""Sliding-window inference: one view, seen through overlapping windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semask_cli.inference.views import Recipe, windows
from semask_cli.models.prediction import Prediction

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

    def rows(self, y0: int, y1: int) -> Tensor:
        """Rows y0 to y1 of the class map: (1, classes, y1 - y0, width)."""
        self._seen = {i: seen for i, seen in self._seen.items() if self.grid[i][0][0].stop > y0}
        total: Tensor | None = None
        for i, row in enumerate(self.grid):
            ys = row[0][0]
            top, bottom = max(y0, ys.start), min(y1, ys.stop)
            if top >= bottom:
                continue
            if i not in self._seen:
                self._seen[i] = self.predict([self.view[window] for window in row])
            for (_, xs), prediction in zip(row, self._seen[i], strict=True):
                part = prediction.rows(top - ys.start, bottom - ys.start)
                if total is None:
                    shape = (1, part.shape[1], y1 - y0, self.size[1])
                    total = part.new_zeros(shape).contiguous(memory_format=torch.channels_last)
                total[:, :, top - y0 : bottom - y0, xs] += part
        assert total is not None  # windows cover every row
        cover = self._cover_y[y0:y1, None] * self._cover_x
        return total.div_(cover.to(total.device))


def _cover(length: int, spans: list[slice]) -> Tensor:
    cover = torch.zeros(length)
    for span in spans:
        cover[span] += 1
    return cover
