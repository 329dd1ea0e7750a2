"""Who and what is on the street: vehicles in their lanes and at the kerb, people, riders, poles, trees, bins."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from toy_street import fleet, furniture, people, plants, vehicles
from toy_street.camera import Array
from toy_street.items import Item
from toy_street.painter import Painter
from toy_street.street import Street
from toy_street.vehicles import Vehicle


def plan_traffic(street: Street, rng: np.random.Generator) -> list[Item]:
    """Everything that stands or moves on road and sidewalks, nothing so far away that nobody could tell what it is."""
    return _Traffic(street, rng).items


class _Traffic:
    """The plan in the making. `side` is -1 left, 1 right; traffic keeps right, and is seen from behind there."""

    def __init__(self, street: Street, rng: np.random.Generator) -> None:
        self._street, self._rng = street, rng
        self.items: list[Item] = []
        for plan in (self._lane, self._kerb, self._sidewalk):
            for side in (-1, 1):
                plan(side)
        if street.crossing:
            self._crossing(street.crossing)

    def _lane(self, side: int) -> None:
        street, rng = self._street, self._rng
        z = rng.uniform(8, 24)
        if street.has_tram and street.tram * side > 0:
            tram = fleet.random_tram(rng)
            self._vehicle(tram, side, street.tram, z + tram.half_length)
            return
        while z < 48:
            chance = rng.random()
            if chance < 0.36:
                z += rng.uniform(5, 14)
                continue
            if z < 27 and chance > 0.56:
                vehicle = fleet.random_bus(rng) if chance > 0.78 else fleet.random_truck(rng)
            else:
                vehicle = fleet.random_car(rng)
            z += vehicle.half_length
            self._vehicle(
                vehicle, side, side * street.road * 0.30 + rng.uniform(-0.4, 0.4), z, skew=rng.normal(0, 0.03)
            )
            z += vehicle.half_length + rng.uniform(4, 14)

    def _kerb(self, side: int) -> None:
        """Parked cars, and riders between them and the lane."""
        street, rng = self._street, self._rng
        if rng.random() < 0.75:
            z = rng.uniform(7, 16)
            while z < 45:
                if rng.random() < 0.55 and not (street.crossing and abs(z - street.crossing) < 6):
                    parked = fleet.random_truck(rng) if rng.random() < 0.08 and z < 26 else fleet.random_car(rng)
                    z += parked.half_length
                    self._vehicle(parked, side, side * (street.road - 1.15), z, skew=rng.normal(0, 0.02))
                    z += parked.half_length
                z += rng.uniform(0.8, 6)
        for z in rng.uniform(6, 11) + np.arange(rng.binomial(2, 0.4)) * rng.uniform(3, 7):
            lateral = side * street.road * rng.uniform(0.45, 0.62)
            paint = people.paint_bicycle if rng.random() < 0.55 else people.paint_motorcycle
            self._two_wheeler(paint, lateral, z, squash=rng.uniform(0.3, 1.0), ridden=True)

    def _sidewalk(self, side: int) -> None:
        street, rng = self._street, self._rng
        inner = street.road + street.verge(side)

        def walk(low: float, high: float) -> float:
            return side * (inner + rng.uniform(low, high) * street.sidewalk)

        z, gap = rng.uniform(6, 11), rng.uniform(5, 10)
        while z < 28:
            plant = (self._lamp, self._traffic_light, self._sign, self._tree)[rng.choice(4, p=(0.32, 0.22, 0.33, 0.13))]
            plant(side, side * (inner + 0.45), z)
            z += gap * rng.uniform(0.7, 1.3)
        if street.verge(side):
            for z in np.arange(rng.uniform(6, 12), 50, rng.uniform(7, 13)):
                self._tree(side, side * (street.road + street.verge(side) / 2), z)
        for _ in range(rng.integers(0, 7)):
            self._person(walk(0.25, 0.9), rng.uniform(6, 18))
        if rng.random() < 0.45:  # a couple
            lateral, z = walk(0.3, 0.7), rng.uniform(6.5, 15)
            self._person(lateral, z)
            self._person(lateral + 0.6, z + 0.2)
        for _ in range(rng.binomial(2, 0.42)):
            paint = people.paint_bicycle if rng.random() < 0.66 else people.paint_motorcycle
            self._two_wheeler(paint, walk(0.2, 0.85), rng.uniform(6.5, 16), squash=rng.uniform(0.6, 1.0), ridden=False)
        if rng.random() < 0.3:
            foot = street.point(walk(0.1, 0.9), rng.uniform(7, 20))
            self._figure(foot, lambda painter: furniture.paint_bin(painter, rng, foot), radius=0.35, top=1.1)

    def _crossing(self, z: float) -> None:
        rng, street = self._rng, self._street
        for _ in range(rng.integers(0, 4)):
            self._person(rng.uniform(-0.9, 0.9) * street.road, z + rng.uniform(0.6, 3))
        for side in (-1, 1):
            self._traffic_light(side, side * (street.road + 0.5), z - 0.6)

    def _vehicle(self, vehicle: Vehicle, side: int, lateral: float, z: float, *, skew: float = 0.0) -> None:
        place = self._street.point(lateral, z)
        heading = (0.0 if side > 0 else math.pi) + skew + math.atan(self._street.bend * z)
        ahead = np.array((math.sin(heading), 0.0, math.cos(heading))) * vehicle.half_length
        aside = np.array((ahead[2], 0.0, -ahead[0])) * (vehicle.half_width / vehicle.half_length)
        corners = [place + ahead + aside, place + ahead - aside, place - ahead - aside, place - ahead + aside]
        self.items.append(
            Item(
                far=z - vehicle.half_length + 0.3 * abs(lateral),
                draw=lambda painter: vehicles.paint_vehicle(painter, vehicle, place, heading=heading),
                walls=tuple((corners[i - 1], corners[i], vehicle.height * 0.92) for i in range(4)),
                footprint=np.stack(corners),
            )
        )

    def _lamp(self, side: int, lateral: float, z: float) -> None:
        foot = self._street.point(lateral, z)
        self._figure(
            foot, lambda painter: furniture.paint_lamp(painter, self._rng, foot, towards=-side), radius=0.12, top=7.0
        )

    def _traffic_light(self, side: int, lateral: float, z: float) -> None:
        foot = self._street.point(lateral, z)
        self._figure(
            foot, lambda painter: furniture.paint_traffic_light(painter, self._rng, foot), radius=0.25, top=4.0
        )

    def _sign(self, side: int, lateral: float, z: float) -> None:
        foot = self._street.point(lateral, z)
        self._figure(foot, lambda painter: furniture.paint_sign(painter, self._rng, foot), radius=0.25, top=3.0)

    def _tree(self, side: int, lateral: float, z: float) -> None:
        foot, height = self._street.point(lateral, z), self._rng.uniform(4.5, 8)
        trunk, crown = (foot, 0.2, 0.0, height * 0.5), (foot, height * 0.3, height * 0.35, height)
        self.items.append(
            Item(
                far=z + 0.3 * abs(lateral),
                draw=lambda painter: plants.paint_tree(painter, self._rng, foot, height=height),
                posts=(trunk, crown),
            )
        )

    def _person(self, lateral: float, z: float) -> None:
        foot, height = self._street.point(lateral, z), self._rng.uniform(1.55, 1.9)
        self._figure(
            foot, lambda painter: people.paint_person(painter, self._rng, foot, height=height), radius=0.25, top=height
        )

    def _two_wheeler(
        self, paint: Callable[..., None], lateral: float, z: float, *, squash: float, ridden: bool
    ) -> None:
        foot = self._street.point(lateral, z)
        self._figure(
            foot,
            lambda painter: paint(painter, self._rng, foot, squash=squash, ridden=ridden),
            radius=0.8 * squash,
            top=1.7 if ridden else 0.9,
        )

    def _figure(self, foot: Array, draw: Callable[[Painter], None], *, radius: float, top: float) -> None:
        """Something on the ground that shades like a column of that radius and height."""
        self.items.append(Item(far=foot[2] + 0.3 * abs(foot[0]), draw=draw, posts=((foot, radius, 0.0, top),)))
