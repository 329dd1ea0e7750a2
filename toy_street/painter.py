"""The canvas: colour and label of every sub-pixel, written by the same stroke, so that they cannot disagree.

Scenes are painted back to front at twice the final resolution.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from toy_street.camera import Array, Camera
from toy_street.labels import Label
from toy_street.light import Light

SUPERSAMPLING = 2
_SHIFT = 4  # coordinates reach OpenCV in sixteenths of a sub-pixel


class Painter:
    """`canvas` is uint8 (rows, columns, 4): RGB and the label."""

    def __init__(self, camera: Camera, light: Light) -> None:
        self.camera = camera
        self.light = light
        self.canvas = np.zeros((*camera.size, 4), np.uint8)

    def fill(self, polygons: Array, colours: Array, label: Label) -> None:
        """Convex polygons (N, corners, 3) in world metres, in `colours` (N, 3) or (3,), seen through the haze."""
        pixels, depth = self.camera.project(polygons)
        colours = self.light.hazed(colours, depth.sum(axis=1) / depth.shape[1])
        for corners, colour in zip(_fixed(pixels), _scalars(colours, label), strict=True):
            cv2.fillConvexPoly(self.canvas, corners, colour, shift=_SHIFT)

    def faces(self, quads: Array, albedos: Array, label: Label) -> None:
        """Matt quads (N, 4, 3) of `albedos` (N, 3) or (3,); those that turn their back to the camera are left out.

        Corners are (bottom left, bottom right, top right, top left), seen from outside.
        """
        up, right = quads[:, 3] - quads[:, 0], quads[:, 1] - quads[:, 0]
        # Their cross product, outwards; np.cross takes five times as long.
        normals = up[:, (1, 2, 0)] * right[:, (2, 0, 1)] - up[:, (2, 0, 1)] * right[:, (1, 2, 0)]
        normals /= np.sqrt((normals * normals).sum(axis=1, keepdims=True))
        facing = ((self.camera.position - quads[:, 0]) * normals).sum(axis=1) > 0
        if facing.any():
            albedos = albedos[facing] if albedos.ndim == 2 else albedos
            self.fill(quads[facing], self.light.lit(albedos, normals[facing]), label)

    def sprite(self, foot: Array, label: Label, *, squash: float = 1.0, facing: int = 1) -> Sprite:
        """A flat figure that stands at `foot` (3,) and turns towards the camera.

        It is `squash` times as wide as drawn; `facing` -1 swaps left and right.
        """
        return Sprite(self, foot, label, squash, facing)


class Sprite:
    """Strokes of a flat figure, in metres: x to the right of its foot, y up. Colours are lit already.

    `sun_side`, -1..1, is the x from which the sun comes, for the bright side of round things.
    """

    def __init__(self, painter: Painter, foot: Array, label: Label, squash: float, facing: int) -> None:
        pixel, depth = painter.camera.project(foot[None])
        self._canvas = painter.canvas
        self._light = painter.light
        self._label = label
        self._foot, self._depth = pixel[0], depth[0]
        self._scale = painter.camera.focal / self._depth
        self._squash, self._facing = squash, facing
        self.sun_side = facing * float(painter.camera.right @ painter.light.sun)

    def share(self, length: float) -> float:
        """What share of the image's width `length` metres are."""
        return float(length * self._scale / self._canvas.shape[1])

    def polygon(self, points: ArrayLike, colour: Array) -> None:
        """A filled polygon of points (N, 2)."""
        cv2.fillPoly(self._canvas, [self._place(points)], self._scalar(colour), shift=_SHIFT)

    def limb(self, points: ArrayLike, width: float, colour: Array) -> None:
        """A line through points (N, 2), `width` wide, with round ends."""
        thickness = max(1, round(float(width * self._scale)))
        cv2.polylines(self._canvas, [self._place(points)], False, self._scalar(colour), thickness, shift=_SHIFT)

    def ellipse(self, centre: ArrayLike, radii: tuple[float, float], colour: Array) -> None:
        """A filled ellipse."""
        across, up = radii[0] * self._scale * self._squash, radii[1] * self._scale
        axes = (max(1, round(across * (1 << _SHIFT))), max(1, round(up * (1 << _SHIFT))))
        middle = self._place(centre).tolist()
        cv2.ellipse(self._canvas, middle, axes, 0, 0, 360, self._scalar(colour), -1, shift=_SHIFT)

    def discs(self, centres: Array, radii: Array, colours: Array) -> None:
        """Filled circles: centres (N, 2), radii (N,), colours (N, 3)."""
        fixed_radii = np.maximum(1, np.rint(radii * self._scale * (1 << _SHIFT))).astype(int).tolist()
        scalars = _scalars(self._light.hazed(colours, np.full(len(colours), self._depth)), self._label)
        for centre, radius, scalar in zip(self._place(centres).tolist(), fixed_radii, scalars, strict=True):
            cv2.circle(self._canvas, centre, radius, scalar, -1, shift=_SHIFT)

    def _place(self, points: ArrayLike) -> NDArray[np.int32]:
        return _fixed(self._foot + np.asarray(points) * (self._facing * self._scale * self._squash, -self._scale))

    def _scalar(self, colour: Array) -> list[float]:
        return _scalars(self._light.hazed(colour[None], np.array([self._depth])), self._label)[0]


def _fixed(pixels: Array) -> NDArray[np.int32]:
    # Far outside the canvas a coordinate would overflow OpenCV's 16 bits of whole pixels.
    return np.rint(np.minimum(np.maximum(pixels, -8000), 8000) * (1 << _SHIFT)).astype(np.int32)


def _scalars(colours: Array, label: Label) -> list[list[float]]:
    """RGB (N, 3) in 0..1 as OpenCV scalars, with the label as the fourth channel."""
    scalars = np.empty((len(colours), 4))
    scalars[:, :3] = np.minimum(np.maximum(colours * 255, 0), 255)
    scalars[:, 3] = label
    return scalars.tolist()
