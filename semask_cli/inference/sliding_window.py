"""Sliding-window inference: the Prediction of a view, averaged over overlapping windows.

Follows MMSegmentation's `slide_inference` (published code Apache-2.0): the class maps of the windows are summed at the
view's size and divided by the number of windows that cover each pixel. Here, only for the requested rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semask_cli.inference.config import InferenceConfig
from semask_cli.io.images import RGB
from semask_cli.models.prediction import ClassMap, Prediction
from semask_cli.ops import resize_accumulate

PredictBatch = Callable[[list[RGB]], list[Prediction]]
"""From images (H, W, 3) of one size to their predictions."""

Place = tuple[int, int]
"""The row and column of a window in the grid."""


class SlidingWindow:
    """The Prediction of a `view`, uint8 RGB (H, W, 3), whose windows are predicted on demand.

    Rows are requested from top to bottom. Windows above them are freed, so that a view of any height needs memory for
    only a few rows of windows. A wide view is processed in bands of columns, with `released` in between. Class maps are
    on the device of the network's predictions, or on `device`.
    """

    def __init__(
        self,
        view: RGB,
        config: InferenceConfig,
        predict_batch: PredictBatch,
        *,
        device: torch.device | None = None,
    ) -> None:
        self.view, self.config, self.predict_batch, self.device = view, config, predict_batch, device
        self.size = (view.shape[0], view.shape[1])
        self.grid = window_grid(*self.size, config)
        self._predictions: dict[Place, Prediction] = {}
        self._counts: tuple[Tensor, Tensor] | None = None
        # The number of windows over a pixel is the product of those over its row and its column.
        self._row_count = _count_windows(self.size[0], [row[0][0] for row in self.grid])
        self._column_count = _count_windows(self.size[1], [columns for _, columns in self.grid[0]])

    @property
    def nbytes(self) -> int:
        return sum(prediction.nbytes for prediction in self._predictions.values())

    @property
    def buffer_nbytes(self) -> int:
        """As in the protocol. (Predicts the first window to learn its size.)"""
        [first] = self._predict([(0, 0)])
        # Rows of windows over a row of pixels, and the next row of windows.
        grid_rows = int(self._row_count.max()) + 1
        return first.nbytes * len(self.grid[0]) * min(grid_rows, len(self.grid))

    def class_map(self, rows: range, columns: range) -> ClassMap:
        """The mean of the class maps of all windows over these rows and columns."""
        passed = [(i, j) for i, j in self._predictions if self.grid[i][j][0].stop <= rows.start]
        for place in passed:
            del self._predictions[place]
        places = [
            (i, j)
            for i, grid_row in enumerate(self.grid)
            for j, (window_rows, window_columns) in enumerate(grid_row)
            if _overlap(window_rows, rows) and _overlap(window_columns, columns)
        ]
        total: Tensor | None = None
        for (i, j), prediction in zip(places, self._predict(places), strict=True):
            window_rows, window_columns = self.grid[i][j]
            ys, xs = _overlap(window_rows, rows), _overlap(window_columns, columns)
            ys_inside, xs_inside = _shift(ys, -window_rows.start), _shift(xs, -window_columns.start)
            part = prediction.class_map(ys_inside, xs_inside)
            if total is None:
                total = part.maps.new_zeros(len(part.maps), len(rows), len(columns))
            tile = total[:, ys.start - rows.start : ys.stop - rows.start]
            tile = tile[..., xs.start - columns.start : xs.stop - columns.start]
            resize_accumulate(tile, part.maps, part.resample(ys_inside, xs_inside))
        assert total is not None  # windows cover every row and column
        down, across = self._count(total.device)
        count = down[rows.start : rows.stop, None] * across[columns.start : columns.stop]
        total.div_(count)
        return ClassMap(total, (self.size[0],), (self.size[1],), (rows.start, columns.start))

    def _count(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The numbers of windows over each row and each column, copied to the device once."""
        if self._counts is None or self._counts[0].device != device:
            down, across = (torch.from_numpy(count).to(device) for count in (self._row_count, self._column_count))
            self._counts = down, across
        return self._counts

    def to(self, device: torch.device) -> Self:
        """The same with predictions kept on `device`; windows are still predicted on the network's device."""
        moved = type(self)(self.view, self.config, self.predict_batch, device=device)
        moved._predictions = {place: prediction.to(device) for place, prediction in self._predictions.items()}
        return moved

    def released(self) -> Self:
        return type(self)(self.view, self.config, self.predict_batch, device=self.device)

    def _predict(self, places: list[Place]) -> list[Prediction]:
        """The predictions of these windows; new ones are predicted as a batch."""
        new = [place for place in places if place not in self._predictions]
        if new:
            predictions = self.predict_batch([self.view[self.grid[i][j]] for i, j in new])
            if self.device is not None:
                predictions = [prediction.to(self.device) for prediction in predictions]
            self._predictions.update(zip(new, predictions, strict=True))
        return [self._predictions[place] for place in places]


def window_grid(height: int, width: int, config: InferenceConfig) -> list[list[tuple[slice, slice]]]:
    """Rows and columns of the windows over a (height, width) view; the last of each axis is shifted back inside."""
    (crop_h, crop_w), (stride_h, stride_w) = config.crop, config.stride
    columns = [slice(x, x + min(crop_w, width)) for x in window_starts(width, crop=crop_w, stride=stride_w)]
    rows = [slice(y, y + min(crop_h, height)) for y in window_starts(height, crop=crop_h, stride=stride_h)]
    return [[(row, column) for column in columns] for row in rows]


def window_starts(length: int, *, crop: int, stride: int) -> list[int]:
    """The starts of windows on an axis; the last one is shifted back inside."""
    count = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride, length - crop), 0) for i in range(count)]


def _overlap(window: slice, positions: range) -> range:
    return range(max(window.start, positions.start), min(window.stop, positions.stop))


def _shift(positions: range, offset: int) -> range:
    return range(positions.start + offset, positions.stop + offset)


def _count_windows(length: int, windows: list[slice]) -> NDArray[np.float32]:
    """The number of windows over each position of an axis: (length,) float32."""
    count = np.zeros(length, np.float32)
    for window in windows:
        count[window] += 1
    return count
