"""What lines the street beyond its sidewalks: houses, gardens behind fences and walls, parks; and its far end."""

from __future__ import annotations

import math

import numpy as np

from toy_street import buildings, furniture, plants
from toy_street.buildings import Wall, wall_between
from toy_street.items import Item
from toy_street.painter import Painter
from toy_street.street import Street

_KINDS = ("house", "garden", "park")


def plan_lots(street: Street, rng: np.random.Generator) -> list[Item]:
    """The lots of both sides, from the camera to the end of the street, and the row of houses that closes it."""
    items = []
    for side in (-1, 1):
        taste = rng.dirichlet((2.0, 1.8, 1.4))
        storeys = int(rng.integers(2, 5))
        z = rng.uniform(1.5, 3.5)
        while z < street.length:
            end = z + rng.uniform(8, 17)
            kind = _KINDS[rng.choice(3, p=taste)]
            items.append(_lot(street, rng, side, z, end, kind, max(1, storeys + int(rng.integers(-1, 2)))))
            z = end
    return [*items, _view_end(street, rng)]


def _lot(street: Street, rng: np.random.Generator, side: int, z0: float, z1: float, kind: str, storeys: int) -> Item:
    """From `z0` to `z1` along the street: a house at the sidewalk, a house behind its garden, or a park."""
    front = street.lot_line(side)
    setback = {"house": 0.0, "garden": rng.uniform(4, 8), "park": 0.0}[kind]
    edge = _line(street, front, side, z0, z1)
    boundary = rng.choice(4, p=(0.36, 0.36, 0.20, 0.08))
    height = rng.uniform(1.3, 2.4) if boundary else rng.uniform(1.0, 1.7)

    def draw_house(painter: Painter) -> None:
        buildings.paint_building(painter, rng, edge, storeys=storeys)

    def draw_garden(painter: Painter) -> None:
        facade = _line(street, front + side * setback, side, z0, z1 - rng.uniform(1, 3))
        buildings.paint_building(painter, rng, facade, storeys=min(storeys, 2))
        draw_greenery(painter, setback, trees=int(rng.integers(0, 2)), bushes=int(rng.integers(0, 3)))

    def draw_park(painter: Painter) -> None:
        draw_greenery(painter, 14.0, trees=int(rng.integers(3, 6)), bushes=int(rng.integers(2, 5)))

    def draw_greenery(painter: Painter, depth: float, *, trees: int, bushes: int) -> None:
        places = [(z, rng.uniform(1.2, max(1.4, depth - 1)), True) for z in rng.uniform(z0, z1, trees)]
        places += [(z, rng.uniform(0.8, max(1.0, depth * 0.5)), False) for z in rng.uniform(z0, z1, bushes)]
        for z, inside, is_tree in sorted(places, reverse=True):
            foot = street.point(front + side * inside, z)
            if is_tree:
                plants.paint_tree(painter, rng, foot, height=rng.uniform(5, 9.5))
            else:
                plants.paint_bush(painter, rng, foot, radius=rng.uniform(0.7, 1.2))
        if boundary == 0:
            furniture.paint_fence(painter, rng, edge, height=height)
        elif boundary == 1:
            furniture.paint_wall(painter, rng, edge, height=height)
        elif boundary == 2:
            plants.paint_hedge(painter, rng, street.point(front, z0), street.point(front, z1), height=height)

    draw = {"house": draw_house, "garden": draw_garden, "park": draw_park}[kind]
    roof = ((edge.origin, edge.origin + edge.along * edge.length, storeys * 3.4),) if kind == "house" else ()
    return Item(far=z1 + 0.3 * abs(front), draw=draw, walls=roof)


def _view_end(street: Street, rng: np.random.Generator) -> Item:
    """Houses across the end of the street, trees before them, and taller houses beyond."""
    z = street.length + 4
    middle = street.point(0, z)[0]

    def draw(painter: Painter) -> None:
        for distance, storeys in ((45.0, (5, 10)), (0.0, (2, 5))):
            x = middle - 48.0 - 0.5 * distance
            while x < middle + 48 + 0.5 * distance:
                width = rng.uniform(11, 20)
                if rng.random() < 0.85:
                    front = Wall(np.array((x, 0.0, z + distance)), np.array((1.0, 0.0, 0.0)), width)
                    buildings.paint_building(painter, rng, front, storeys=int(rng.integers(*storeys)))
                x += width
        for _ in range(rng.integers(6, 14)):
            foot = np.array((middle + rng.uniform(-60, 60), 0.0, z - 2))
            plants.paint_tree(painter, rng, foot, height=rng.uniform(6, 11))

    return Item(far=math.inf, draw=draw)


def _line(street: Street, lateral: float, side: int, z0: float, z1: float) -> Wall:
    """An upright plane along the street that faces the road."""
    near, far = street.point(lateral, z0), street.point(lateral, z1)
    return wall_between(far, near) if side > 0 else wall_between(near, far)
