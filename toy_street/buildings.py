"""Houses: a facade of storeys and bays with windows, doors, shops and balconies, under a roof."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toy_street.camera import Array
from toy_street.labels import Label
from toy_street.painter import Painter

_PLASTER = np.array(
    ((0.86, 0.78, 0.62), (0.80, 0.62, 0.48), (0.72, 0.44, 0.36), (0.84, 0.82, 0.77), (0.66, 0.68, 0.70),
     (0.74, 0.72, 0.55), (0.62, 0.50, 0.42), (0.88, 0.70, 0.55), (0.70, 0.75, 0.78), (0.79, 0.60, 0.60))
)  # fmt: skip
_ROOFS = np.array(((0.62, 0.30, 0.22), (0.45, 0.30, 0.26), (0.36, 0.36, 0.40), (0.55, 0.38, 0.28)))
_AWNINGS = np.array(((0.75, 0.20, 0.18), (0.15, 0.45, 0.32), (0.20, 0.32, 0.58), (0.85, 0.62, 0.20)))
_WHITE = np.array((0.95, 0.94, 0.90))
_WOOD = np.array((0.40, 0.24, 0.16))
_IRON = np.array((0.30, 0.31, 0.34))
_DEPTH = 11.0  # of a house, in metres

Lengths = Array | float


@dataclass(frozen=True, slots=True)
class Wall:
    """An upright plane: `origin` (3,) is its bottom left corner seen from outside, `along` (3,) points to the right."""

    origin: Array
    along: Array
    length: float

    @property
    def outward(self) -> Array:
        return np.array((self.along[2], 0.0, -self.along[0]))

    def quads(self, left: Lengths, right: Lengths, bottom: Lengths, top: Lengths, *, out: float = 0.0) -> Array:
        """Rectangles (N, 4, 3) from their edges in metres (broadcast to N), `out` metres in front of the wall."""
        left, right, bottom, top = np.broadcast_arrays(*np.atleast_1d(left, right, bottom, top))
        corners = np.empty((len(left), 4, 3))
        across = np.array((left, right, right, left)).T
        x, y, z = (self.origin + self.outward * out).tolist()
        corners[:, :, 0] = x + self.along[0] * across
        corners[:, :, 2] = z + self.along[2] * across
        corners[:, :2, 1] = y + bottom[:, None]
        corners[:, 2:, 1] = y + top[:, None]
        return corners


def wall_between(start: Array, end: Array) -> Wall:
    """The wall from `start` to `end` (3,), left to right seen from outside."""
    length = float(np.linalg.norm(end - start))
    return Wall(start, (end - start) / length, length)


def paint_building(painter: Painter, rng: np.random.Generator, front: Wall, *, storeys: int) -> None:
    """A house behind `front`; its sides are seen where its neighbour is lower or further back."""
    if painter.camera.sees(np.stack((front.origin, front.origin + front.along * front.length))):
        _House(painter, rng, front, storeys).paint()


class _House:
    """A house in the making. Its quads go to the painter in one piece, which is what makes it fast."""

    def __init__(self, painter: Painter, rng: np.random.Generator, front: Wall, storeys: int) -> None:
        self._painter, self._rng, self._front = painter, rng, front
        self._quads: list[Array] = []
        self._albedos: list[Array] = []
        self._plaster = self._pick(_PLASTER) * rng.uniform(0.85, 1.08)
        self._storey = rng.uniform(2.9, 3.5)
        self._ground_floor = self._storey * rng.uniform(1.0, 1.35)
        self._height = self._ground_floor + (storeys - 1) * self._storey
        self._sills = self._ground_floor + np.arange(storeys - 1) * self._storey  # floors of the upper storeys

    def paint(self) -> None:
        """Back to front: the sides, the roof, the facade and what is on it."""
        rng, front = self._rng, self._front
        back = -front.outward * _DEPTH
        left_side = Wall(front.origin + back, front.outward, _DEPTH)
        right_side = Wall(front.origin + front.along * front.length, -front.outward, _DEPTH)
        for side in (left_side, right_side):
            self._add(side.quads(0, _DEPTH, 0, self._height), self._plaster * 0.92)
        self._roof()
        # Bay by bay, so that the haze grows along the facade.
        bays = max(1, round(front.length / rng.uniform(2.4, 3.4)))
        self._bay = front.length / bays
        self._left = np.arange(bays) * self._bay
        self._strip(0, self._height, self._plaster)
        self._strip(0, 0.7, self._plaster * 0.72)
        if rng.random() < 0.22:
            self._glass_front()
        else:
            self._windows(self._sills, self._storey)
        if rng.random() < 0.5:
            self._shops()
        else:
            self._windows(np.array((0.4,)), self._ground_floor - 0.4)
            self._door(self._bay * (rng.integers(bays) + 0.5))
        for course in self._sills[: 1 if rng.random() < 0.6 else None]:
            self._strip(course - 0.15, course + 0.1, self._plaster * 1.15)
        self._painter.faces(np.concatenate(self._quads), np.concatenate(self._albedos), Label.BUILDING)

    def _add(self, quads: Array, albedo: Array) -> None:
        self._quads.append(quads)
        self._albedos.append(np.broadcast_to(albedo, (len(quads), 3)))

    def _strip(self, bottom: float, top: float, albedo: Array, *, inset: float = 0.0) -> None:
        """The same in every bay."""
        self._add(self._front.quads(self._left + inset, self._left + self._bay - inset, bottom, top), albedo)

    def _roof(self) -> None:
        rng, front, eaves = self._rng, self._front, self._height
        pieces = max(1, int(front.length / 3))
        left = np.arange(pieces) * front.length / pieces
        right = left + front.length / pieces
        tiles = self._pick(_ROOFS) * rng.uniform(0.85, 1.15)
        if rng.random() < 0.6:
            slope = front.quads(left, right, eaves, eaves + rng.uniform(2.0, 3.2))
            slope[:, :2] += front.outward * 0.35
            slope[:, 2:] -= front.outward * 3.5
            for chimney in rng.uniform(0.1, 0.9, rng.integers(0, 3)) * front.length:
                self._add(front.quads(chimney, chimney + 0.7, eaves + 1, eaves + 3.6, out=-2.6), tiles * 0.8)
            self._add(slope, tiles)
            dormers = np.arange(0.5, pieces) * front.length / pieces
            if rng.random() < 0.6:
                self._add(front.quads(dormers - 0.7, dormers + 0.7, eaves + 0.5, eaves + 1.8, out=-0.3), tiles * 1.2)
                panes = front.quads(dormers - 0.45, dormers + 0.45, eaves + 0.7, eaves + 1.6, out=-0.3)
                self._add(panes, self._glass(len(dormers)))
        cornice = np.array((0.90, 0.87, 0.80)) * rng.uniform(0.8, 1.0)
        self._add(front.quads(left, right, eaves - 0.35, eaves + 0.15, out=0.3), cornice)

    def _windows(self, floors: Array, storey: float) -> None:
        """One window in each bay of the storeys that begin at `floors`, with a frame, maybe shutters or a balcony."""
        rng, front = self._rng, self._front
        width, height = self._bay * rng.uniform(0.38, 0.58), storey * rng.uniform(0.45, 0.58)
        middle = np.tile(self._left + self._bay / 2, len(floors))
        sill = np.repeat(floors + storey * 0.27, len(self._left))
        left, right, top = middle - width / 2, middle + width / 2, sill + height
        frame = _WHITE if rng.random() < 0.75 else np.array((0.35, 0.28, 0.24))
        self._add(front.quads(left - 0.12, right + 0.12, sill - 0.12, top + 0.12), frame * 0.9)
        glass = self._glass(len(middle))
        self._add(front.quads(left, right, sill, top), glass)
        self._add(front.quads(left, right, sill + height * 0.55, top), glass * 1.25 + 0.03)
        self._add(front.quads(middle - 0.05, middle + 0.05, sill, top), frame)
        style = rng.random()
        if style < 0.35:
            shutter = np.array((0.30, 0.42, 0.36)) * rng.uniform(0.6, 1.6, 3)
            self._add(front.quads(left - width * 0.35, left - 0.1, sill, top), shutter)
            self._add(front.quads(right + 0.1, right + width * 0.35, sill, top), shutter * 0.92)
        elif style < 0.6 and len(floors) > 1:
            self._add(front.quads(left - 0.3, right + 0.3, sill - 0.75, sill - 0.6, out=0.5), frame * 0.6)
            self._add(front.quads(left - 0.3, right + 0.3, sill - 0.6, sill + 0.35, out=0.6), _IRON)

    def _glass_front(self) -> None:
        left = np.tile(self._left + 0.12, len(self._sills))
        bottom = np.repeat(self._sills + 0.5, len(self._left))
        right, top = left + self._bay - 0.24, bottom + self._storey - 0.8
        glass = self._glass(len(left))
        self._add(self._front.quads(left, right, bottom, top), glass)
        self._add(self._front.quads(left, right, bottom + self._storey * 0.4, top), glass * 1.3)

    def _shops(self) -> None:
        rng, front, top = self._rng, self._front, self._ground_floor
        colour = self._pick(_AWNINGS) * rng.uniform(0.8, 1.2)
        glow = np.array((0.95, 0.80, 0.50)) * self._painter.light.lamps * 0.8
        glass = self._glass(len(self._left)) + glow
        self._strip(0.45, top - 1.0, np.array((0.25, 0.22, 0.20)), inset=0.2)
        self._strip(0.55, top - 1.1, glass, inset=0.3)
        self._add(front.quads(self._left + 0.3, self._left + self._bay * 0.6, 0.55, top * 0.4), glass * 0.6)
        self._strip(top - 0.95, top - 0.3, colour * 0.7)
        if rng.random() < 0.6:
            awning = front.quads(self._left + 0.1, self._left + self._bay - 0.1, top - 1.3, top - 0.5)
            awning[:, :2] += front.outward * 1.2
            self._add(awning, np.where(np.arange(len(awning))[:, None] % 2, colour, (0.94, 0.92, 0.88)))

    def _door(self, middle: float) -> None:
        self._add(self._front.quads(middle - 0.75, middle + 0.75, 0, 2.6), np.array((0.92, 0.90, 0.86)))
        self._add(self._front.quads(middle - 0.6, middle + 0.6, 0, 2.4), _WOOD * self._rng.uniform(0.6, 1.5, 3))

    def _glass(self, count: int) -> Array:
        """Albedos (count, 3) of panes: each reflects a little more or less of the sky, some rooms are lit."""
        light = self._painter.light
        reflection = self._rng.uniform(0.12, 0.5, (count, 1))
        panes = np.array((0.13, 0.17, 0.22)) * (1 - reflection) + 0.9 * light.zenith * reflection
        lit = self._rng.random(count) < light.lamps
        panes[lit] = np.array((1.5, 1.1, 0.55)) * self._rng.uniform(0.7, 1.1, (count, 1))[lit]
        return panes

    def _pick(self, table: Array) -> Array:
        return table[self._rng.integers(len(table))]
