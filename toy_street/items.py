"""One thing of a scene: how it is painted, and what it shades."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toy_street.camera import Array
from toy_street.painter import Painter

_MAX_REACH = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Things are painted by falling `far`, a distance in metres.

    `walls` and `posts` are the simple shapes that stand for the thing when its shadow is cast: (start, end, height) of
    an upright rectangle, and (foot, radius, bottom, top) of an upright column. Feet, starts and ends are (3,).
    `footprint` (corners, 3) is always dark.
    """

    far: float
    draw: Callable[[Painter], None]
    walls: tuple[tuple[Array, Array, float], ...] = ()
    posts: tuple[tuple[Array, float, float, float], ...] = ()
    footprint: Array | None = None

    def shadows(self, sun: Array) -> list[Array]:
        """What it shades on the ground: convex polygons (corners, 3). `sun` points towards the sun."""
        cast = np.array((-sun[0], 0.0, -sun[2])) / max(sun[1], 0.05)
        length = max(math.hypot(cast[0], cast[2]), 1e-6)  # of the shadow of a thing one metre tall
        shapes = [] if self.footprint is None else [self.footprint]
        for start, end, height in self.walls:
            shift = cast * min(height, _MAX_REACH / length)
            shapes.append(np.stack((start, end, end + shift, start + shift)))
        for foot, radius, bottom, top in self.posts:
            # Across the sun's direction as wide as the column, along it from its bottom's shadow to its top's.
            along = cast / length
            across = np.array((along[2], 0.0, -along[0])) * radius
            near, far = foot + cast * bottom - along * radius * 0.6, foot + cast * top + along * radius * 0.6
            shapes.append(np.stack((near - across, near + across, far + across * 0.7, far - across * 0.7)))
        return shapes
