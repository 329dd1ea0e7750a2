"""The camera: a pinhole above the road, without roll, so that the horizon is a row of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]  # float64 unless said otherwise


@dataclass(frozen=True, kw_only=True)
class Camera:
    """World axes in metres: x to the right, y up, z along the street; the road is y = 0, the camera stands at z = 0.

    `pitch` (downwards) and `yaw` (to the right) in radians; `focal` in pixels of the canvas of `size` (height, width).
    """

    x: float
    height: float
    pitch: float
    yaw: float
    focal: float
    size: tuple[int, int]

    @cached_property
    def position(self) -> Array:
        return np.array((self.x, self.height, 0.0))

    @cached_property
    def right(self) -> Array:
        """The horizontal unit vector that runs to the right in the image."""
        return np.array((math.cos(self.yaw), 0.0, -math.sin(self.yaw)))

    @property
    def horizon(self) -> float:
        """The row, in canvas pixels, at which the road plane vanishes."""
        return float(self._centre[1]) - self.focal * math.tan(self.pitch)

    def project(self, points: Array) -> tuple[Array, Array]:
        """World points (..., 3) to pixels (..., 2) as (column, row), and their depths (...) in metres."""
        relative = (points - self.position) @ self._axes  # (..., 3): across, up, depth
        depth = np.maximum(relative[..., 2], 0.1)
        return self._centre + relative[..., :2] * (self._flip / depth[..., None]), depth

    def sees(self, points: Array) -> bool:
        """Whether what lies between the points (N, 3) may be in the image, or beside it by up to a tenth."""
        columns = self.project(points)[0][:, 0] / self.size[1]
        return bool(columns.min() < 1.1 and columns.max() > -0.1)

    def rays(self, rows: range, columns: range) -> tuple[Array, Array, Array]:
        """World directions (x, y, z) through pixels, of depth 1: x and z (rows, columns), y (rows, 1), float32."""
        across = (np.array(columns, np.float32)[None] - float(self._centre[0])) / self.focal
        up = -(np.array(rows, np.float32)[:, None] - float(self._centre[1])) / self.focal
        forward = up * math.sin(self.pitch) + math.cos(self.pitch)
        vertical = up * math.cos(self.pitch) - math.sin(self.pitch)
        x = across * math.cos(self.yaw) + forward * math.sin(self.yaw)
        z = -across * math.sin(self.yaw) + forward * math.cos(self.yaw)
        return x, vertical, z

    @cached_property
    def _centre(self) -> Array:
        height, width = self.size
        return np.array(((width - 1) / 2, (height - 1) / 2))

    @cached_property
    def _flip(self) -> Array:
        return np.array((self.focal, -self.focal))  # rows count downwards

    @cached_property
    def _axes(self) -> Array:
        """Columns: the camera's right, up and forward vectors in world axes."""
        sin_p, cos_p, sin_y, cos_y = math.sin(self.pitch), math.cos(self.pitch), math.sin(self.yaw), math.cos(self.yaw)
        right, up = (cos_y, 0.0, -sin_y), (sin_p * sin_y, cos_p, sin_p * cos_y)
        return np.array((right, up, (cos_p * sin_y, -sin_p, cos_p * cos_y))).T
