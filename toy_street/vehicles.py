"""How a vehicle is made and painted: tapered boxes with panels for glass, lights and doors, on wheels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toy_street.camera import Array
from toy_street.labels import Label
from toy_street.painter import Painter

_TRIM = np.array((0.12, 0.12, 0.13))
# Discs of a wheel, as shares of its radius: the arch, the tyre, the rim, the hub.
_WHEEL = ((1.18, _TRIM * 0.8), (1.0, _TRIM), (0.58, np.array((0.66, 0.67, 0.70))), (0.2, _TRIM * 2))

# A panel: the face it lies on, (left, right, bottom, top) as shares of that face, and its albedo.
Panel = tuple[str, tuple[float, float, float, float], Array]
_FACES = ("rear", "front", "right", "left", "top")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A tapered box, in metres: half width and height of its bottom and top; rear and front end of each."""

    half_width: tuple[float, float]
    height: tuple[float, float]
    bottom: tuple[float, float]
    top: tuple[float, float]
    albedo: Array
    panels: tuple[Panel, ...] = ()

    def quads(self) -> Array:
        """Faces (5, 4, 3) in the order of _FACES, corners as `Painter.faces` wants them; x right, y up, z forward."""
        (low, high), (w0, w1) = self.height, self.half_width
        (rear0, front0), (rear1, front1) = self.bottom, self.top
        a, b, c, d = (-w0, low, rear0), (w0, low, rear0), (w0, low, front0), (-w0, low, front0)
        e, f, g, h = (-w1, high, rear1), (w1, high, rear1), (w1, high, front1), (-w1, high, front1)
        return np.array(((a, b, f, e), (c, d, h, g), (b, c, g, f), (d, a, e, h), (e, f, g, h)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    """`boxes` from the lowest to the highest; wheels at `axles` (z of each), `wheel` metres in radius."""

    label: Label
    half_width: float
    half_length: float
    height: float
    boxes: tuple[Box, ...]
    axles: tuple[float, ...]
    wheel: float


def paint_vehicle(painter: Painter, vehicle: Vehicle, place: Array, *, heading: float) -> None:
    """`vehicle` with its middle at `place` (3,) on the ground; `heading` in radians from z towards x."""
    turn = np.array(((math.cos(heading), 0, -math.sin(heading)), (0, 1, 0), (math.sin(heading), 0, math.cos(heading))))
    boxes = list(vehicle.boxes)
    # Boxes one behind the other (a truck's) are painted far to near; those one upon the other, from below.
    middles = [np.mean((*box.bottom, *box.top)) for box in boxes]
    away = (place - painter.camera.position) @ turn.T
    if max(middles) - min(middles) > 1.5:
        order = np.argsort([-abs(away[2] + middle) for middle in middles])
        boxes = [boxes[i] for i in order]
    for box in boxes:
        _paint_box(painter, box, vehicle.label, turn, place)
    _paint_wheels(painter, vehicle, turn, place)


def _paint_box(painter: Painter, box: Box, label: Label, turn: Array, place: Array) -> None:
    faces = box.quads()
    quads, albedos = [], []
    for index, name in enumerate(_FACES):
        face = faces[index]
        quads.append(face)
        albedos.append(box.albedo * (1.06 if name == "top" else 1.0))
        for on, (left, right, bottom, top), albedo in box.panels:
            if on == name or (on == "sides" and name in ("left", "right")):
                if on == "sides" and name == "left":  # mirrored, so that the front stays the front
                    left, right = 1 - right, 1 - left
                u = np.array((left, right, right, left))[:, None]
                v = np.array((bottom, bottom, top, top))[:, None]
                low, high = face[0] * (1 - u) + face[1] * u, face[3] * (1 - u) + face[2] * u
                quads.append(low * (1 - v) + high * v)
                albedos.append(albedo)
    painter.faces(np.stack(quads) @ turn + place, np.stack(albedos), label)


def _paint_wheels(painter: Painter, vehicle: Vehicle, turn: Array, place: Array) -> None:
    angle = np.arange(16) * (math.pi / 8)
    rim = np.column_stack((np.zeros(16), np.sin(angle), np.cos(angle)))
    for side in (-1, 1):
        flank = np.array((side * vehicle.half_width, vehicle.wheel, 0.0))
        outward = np.array((side, 0.0, 0.0)) @ turn
        if (painter.camera.position - (flank @ turn + place)) @ outward <= 0:
            continue
        for axle in vehicle.axles:
            for scale, albedo in _WHEEL:
                disc = (flank + (0, 0, axle) + rim * vehicle.wheel * scale) @ turn + place
                disc[:, 1] = np.maximum(disc[:, 1], 0)
                painter.fill(disc[None], painter.light.soft(albedo, 0.3), vehicle.label)
