"""Regions of a label map: connected pixels of one class, and the polygons around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from semask_cli.output.simplification import Ring, simplified


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """Pixels of one class that touch by their sides.

    `label` is the class index, `mask` (h, w) bool the pixels within a box whose upper left corner is `x`, `y`.
    """

    label: int
    x: int
    y: int
    mask: NDArray[np.bool_]

    @property
    def area(self) -> int:
        """In pixels."""
        return int(np.count_nonzero(self.mask))

    def rings(self, *, tolerance: float = 0) -> tuple[Ring, list[Ring]]:
        """The outline, and the outlines of the holes.

        Filling the outline without the holes gives exactly the pixels of the region. With a `tolerance` in pixels the
        lines are simplified (Douglas and Peucker, 1973); the polygon stays valid.
        """
        # In the doubled mask, even contour coordinates are the near edge of a pixel and odd ones the far edge, so that
        # contours through pixels, which cut corners, become lines along pixel edges.
        doubled = cv2.resize(self.mask.view(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        found, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        rings = [self._ring(contour[:, 0]) for contour in found]
        outer = [ring for ring, (_, _, _, parent) in zip(rings, hierarchy[0], strict=True) if parent < 0]
        holes = [ring for ring, (_, _, _, parent) in zip(rings, hierarchy[0], strict=True) if parent >= 0]
        assert len(outer) == 1
        rings = [*outer, *holes]
        outline, *holes = simplified(rings, tolerance) if tolerance else rings
        return outline, holes

    def _ring(self, contour: NDArray[Any]) -> Ring:
        corners = (contour + 1) // 2
        # Keep the corners, where the direction changes.
        corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
        steps = corners - np.roll(corners, 1, axis=0)
        corners = corners[(np.sign(steps) != np.sign(np.roll(steps, -1, axis=0))).any(axis=1)]
        return (corners + np.array([self.x, self.y])).astype(np.int32)

    def without_holes(self) -> Iterator[Region]:
        """The region in pieces without holes, for formats that have none: cut at the columns where holes begin."""
        pending = [self]
        while pending:
            piece = pending.pop()
            _, holes = piece.rings()
            if not holes:
                yield piece
                continue
            # The middle one, so that pieces become small quickly.
            column = sorted(int(hole[:, 0].min()) for hole in holes)[len(holes) // 2] - piece.x
            for x, mask in ((piece.x, piece.mask[:, :column]), (piece.x + column, piece.mask[:, column:])):
                pending += _connected(mask, self.label, x, piece.y)


def regions(labels: NDArray[np.uint8], *, classes: int) -> Iterator[Region]:
    """The regions of `labels` (H, W), class by class; labels from `classes` on (255, ignored) belong to none."""
    for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[:classes]):
        yield from _connected(labels == label, int(label), 0, 0)


def _connected(mask: NDArray[np.bool_], label: int, x: int, y: int) -> Iterator[Region]:
    count, numbers, boxes, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    for number in range(1, count):
        left, top, width, height, _ = (int(value) for value in boxes[number])
        inside = numbers[top : top + height, left : left + width] == number
        yield Region(label=label, x=x + left, y=y + top, mask=inside)
