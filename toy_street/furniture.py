"""What stands on sidewalks: lamps, traffic lights, signs, bins; and the walls and fences along the lots."""

from __future__ import annotations

import math

import numpy as np

from toy_street.buildings import Wall
from toy_street.camera import Array
from toy_street.labels import Label
from toy_street.painter import Painter, Sprite

_STEEL = np.array((0.52, 0.54, 0.56))
_DARK = np.array((0.13, 0.14, 0.15))
_WHITE = np.array((0.95, 0.95, 0.93))
_RED = np.array((0.82, 0.10, 0.12))
_BLUE = np.array((0.10, 0.32, 0.70))
_YELLOW = np.array((0.95, 0.75, 0.12))
_LENSES = np.array(((0.2, 1.0, 0.5), (1.0, 0.8, 0.2), (1.0, 0.2, 0.15)))  # from below: go, wait, stop
_STONES = np.array(((0.60, 0.57, 0.52), (0.66, 0.42, 0.34), (0.70, 0.68, 0.64), (0.54, 0.50, 0.48)))
_PLANKS = np.array(((0.56, 0.40, 0.26), (0.88, 0.87, 0.82), (0.40, 0.30, 0.22), (0.30, 0.42, 0.36)))
_BINS = np.array(((0.20, 0.38, 0.26), (0.88, 0.70, 0.12), (0.36, 0.36, 0.40), (0.62, 0.20, 0.16)))


def paint_lamp(painter: Painter, rng: np.random.Generator, foot: Array, *, towards: int) -> None:
    """A street lamp whose arm reaches to the left (`towards` -1) or to the right (1)."""
    sprite = painter.sprite(foot, Label.POLE, facing=towards)
    height = rng.uniform(5.5, 8.0)
    colour = _STEEL * rng.uniform(0.5, 1.1)
    _pole(painter, sprite, height, 0.26, colour)
    arm = ((0.0, height - 0.1), (0.5, height + 0.35), (1.8, height + 0.4))
    sprite.limb(arm, 0.16, painter.light.soft(colour, 0.3))
    lit = painter.light.lamps > 0.1
    lamp = np.array((1.0, 0.92, 0.7)) if lit else painter.light.soft(colour * 1.3, 0.6)
    sprite.ellipse((1.9, height + 0.36), (0.42, 0.14), lamp)


def paint_traffic_light(painter: Painter, rng: np.random.Generator, foot: Array) -> None:
    """Three lamps in a dark housing upon a pole."""
    soft = painter.light.soft
    height = rng.uniform(2.6, 3.6)
    _pole(painter, painter.sprite(foot, Label.POLE), height, 0.24, _STEEL * rng.uniform(0.6, 1.0))
    sprite = painter.sprite(foot, Label.TRAFFIC_LIGHT)
    sprite.polygon(_rectangle(0.41, height - 0.07, height + 1.52), soft(_YELLOW * 0.85, 0.4))
    sprite.polygon(_rectangle(0.34, height, height + 1.45), soft(_DARK, 0.3))
    lit = rng.integers(len(_LENSES))
    for index, colour in enumerate(_LENSES):
        glass = colour if index == lit else soft(colour * 0.3, 0.2)
        sprite.ellipse((0.0, height + 0.25 + 0.47 * index), (0.19, 0.19), glass)


def paint_sign(painter: Painter, rng: np.random.Generator, foot: Array) -> None:
    """A round, triangular, eight-sided or square sign on a post."""
    height = rng.uniform(2.0, 2.7)
    _pole(painter, painter.sprite(foot, Label.POLE), height + 0.6, 0.18, _STEEL)
    sprite = painter.sprite(foot, Label.TRAFFIC_SIGN)
    white, red, blue, dark, yellow = (painter.light.soft(c, 0.4) for c in (_WHITE, _RED, _BLUE, _DARK, _YELLOW))
    centre, radius = np.array((0.0, height + 0.35)), rng.uniform(0.52, 0.68)

    def at(*points: tuple[float, float]) -> Array:
        return np.array(points) * radius + centre

    kind = rng.integers(6)
    if kind == 0:  # a limit
        sprite.ellipse(centre, (radius, radius), red)
        sprite.ellipse(centre, (radius * 0.72, radius * 0.72), white)
        for x in (-0.36, 0.32):
            sprite.limb(at((x, -0.32), (x, 0.32)), 0.11, dark)
    elif kind == 1:  # a warning
        sprite.polygon(_regular(3, radius * 1.25, centre), red)
        sprite.polygon(_regular(3, radius * 0.82, centre), white)
        sprite.limb(np.array(((0, -0.10), (0, 0.22))) + centre, 0.10, dark)
    elif kind == 2:  # a direction
        sprite.ellipse(centre, (radius, radius), blue)
        sprite.limb(at((-0.44, -0.44), (0.36, 0.36)), 0.12, white)
        sprite.polygon(at((0.60, 0.60), (0.04, 0.52), (0.52, 0.04)), white)
    elif kind == 3:  # no entry
        sprite.polygon(_regular(8, radius * 1.08, centre), white)
        sprite.polygon(_regular(8, radius * 0.96, centre), red)
        sprite.limb(at((-0.52, 0), (0.52, 0)), 0.16, white)
    elif kind == 4:  # priority
        sprite.polygon(_regular(4, radius * 1.15, centre), white)
        sprite.polygon(_regular(4, radius * 0.82, centre), yellow)
    else:  # parking
        sprite.polygon(at((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)), blue)
        letter = np.array(((-0.12, -0.28), (-0.12, 0.26), (0.14, 0.22), (0.14, 0.0), (-0.1, -0.02)))
        sprite.limb(letter + centre, 0.11, white)


def paint_bin(painter: Painter, rng: np.random.Generator, foot: Array) -> None:
    """A litter bin or a letter box: Cityscapes does not evaluate such things."""
    sprite = painter.sprite(foot, Label.IGNORE)
    colour = _BINS[rng.integers(len(_BINS))]
    half, tall = rng.uniform(0.3, 0.42), rng.uniform(0.9, 1.3)
    outline = np.array(((-half, 0), (half, 0), (half * 1.1, tall), (-half * 1.1, tall)))
    sprite.polygon(outline, painter.light.soft(colour, 0.3))
    sprite.polygon(outline * (0.4, 1) + (0.5 * half * sprite.sun_side, 0), painter.light.soft(colour, 0.7))
    sprite.polygon(_rectangle(half * 0.8, tall * 0.72, tall * 0.84), painter.light.soft(_DARK, 0.2))


def paint_wall(painter: Painter, rng: np.random.Generator, line: Wall, *, height: float) -> None:
    """A wall of courses of stone or brick under a coping."""
    stone = _STONES[rng.integers(len(_STONES))] * rng.uniform(0.9, 1.1)
    courses = max(3, round(height / 0.36))
    course = height / courses
    columns = max(1, int(line.length / (course * rng.uniform(1.7, 2.6))))
    width = line.length / columns
    starts = np.arange(columns) * width
    painter.faces(line.quads(starts, starts + width, 0, height), stone * 0.66, Label.WALL)  # the joints
    offset = np.arange(courses) % 2 * width / 2
    left = (starts + offset[:, None]).ravel()
    bottom = np.repeat(np.arange(courses) * course, columns)
    tones = stone * rng.uniform(0.82, 1.12, (courses * columns, 1))
    right = np.minimum(left + width - 0.05, line.length)
    painter.faces(line.quads(left, right, bottom + 0.04, bottom + course), tones, Label.WALL)
    painter.faces(line.quads(starts, starts + width, height, height + 0.18, out=0.08), stone * 1.2, Label.WALL)


def paint_fence(painter: Painter, rng: np.random.Generator, line: Wall, *, height: float) -> None:
    """Planks, or a railing; what shows between them belongs to the fence, as it does in Cityscapes."""
    colour = _PLANKS[rng.integers(len(_PLANKS))] * rng.uniform(0.9, 1.1)
    step = 0.28 if rng.random() < 0.6 else 0.42
    planks = max(2, int(line.length / step))
    left = np.arange(planks) * line.length / planks
    right = left + line.length / planks
    painter.faces(line.quads(left, right, 0.05, height * 0.94), colour * 0.42, Label.FENCE)
    tones = colour * rng.uniform(0.88, 1.08, (planks, 1))
    painter.faces(line.quads(left, left + step * 0.72, 0, height), tones, Label.FENCE)
    for rail in (height * 0.22, height * 0.72):
        painter.faces(line.quads(left, right, rail, rail + 0.1, out=0.03), colour * 0.8, Label.FENCE)


def _pole(painter: Painter, sprite: Sprite, height: float, width: float, albedo: Array) -> None:
    soft = painter.light.soft
    sprite.polygon(_rectangle(width / 2, 0, height), soft(albedo, 0.2))
    sunny = _rectangle(width / 5, 0, height) + np.array((0.28 * width * sprite.sun_side, 0))
    sprite.polygon(sunny, soft(albedo * 1.1, 0.7))
    sprite.polygon(_rectangle(width * 0.8, 0, height * 0.08), soft(albedo * 0.8, 0.3))


def _rectangle(half_width: float, bottom: float, top: float) -> Array:
    return np.array(((-half_width, bottom), (half_width, bottom), (half_width, top), (-half_width, top)))


def _regular(corners: int, radius: float, centre: Array) -> Array:
    start = math.pi / 8 if corners == 8 else math.pi / 2
    angles = [start + 2 * math.pi * corner / corners for corner in range(corners)]
    return np.array([(math.cos(angle), math.sin(angle)) for angle in angles]) * radius + centre
