"""The plan of a street: how wide it is, how it bends, what its ground is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toy_street.camera import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Street:
    """Metres. `lateral` positions count from the middle of the road to the right. Only verges tell the sides apart.

    From the middle: road, kerb, (on the sides with a verge: grass), sidewalk, then the lots.
    """

    road: float  # half of its width
    verges: tuple[float, float]  # width of the grass beside the kerb: left, right
    sidewalk: float
    bend: float  # 1/m: the middle of the road is at x = bend / 2 * z²
    length: float  # where the view ends
    crossing: float  # z of the zebra crossing; 0 for none
    tram: float  # lateral position of the tram's track
    has_tram: bool
    paved: bool  # lots are courtyards, not gardens

    def point(self, lateral: float, z: float) -> Array:
        """A place on the ground in world axes (3,)."""
        return np.array((lateral + self.bend / 2 * z * z, 0.0, z))

    def lot_line(self, side: int) -> float:
        """The lateral position at which the sidewalk of `side` (-1 left, 1 right) ends."""
        return side * (self.road + self.verge(side) + self.sidewalk)

    def verge(self, side: int) -> float:
        """The width of the grass beside the kerb of `side`."""
        return self.verges[side > 0]


def random_street(rng: np.random.Generator) -> Street:
    """A street of two to four lanes."""
    has_tram = bool(rng.random() < 0.28)
    road = rng.uniform(5.2, 7.5) + has_tram
    verges = [rng.uniform(1.2, 2.4) if rng.random() < 0.35 else 0.0 for _ in range(2)]
    return Street(
        road=road,
        verges=(verges[0], verges[1]),
        sidewalk=rng.uniform(2.6, 4.2),
        bend=rng.normal(0, 0.0016),
        length=rng.uniform(55, 80),
        crossing=rng.uniform(8, 18) if rng.random() < 0.4 else 0.0,
        tram=(-1 if rng.random() < 0.5 else 1) * road * 0.28,
        has_tram=has_tram,
        paved=bool(rng.random() < 0.4),
    )
