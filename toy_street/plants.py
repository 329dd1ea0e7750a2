"""Trees, bushes and hedges: clusters of leaves, dark below and bright towards the sun."""

from __future__ import annotations

import numpy as np

from toy_street.camera import Array
from toy_street.labels import Label
from toy_street.painter import Painter, Sprite

_GREENS = np.array(((0.26, 0.44, 0.16), (0.34, 0.48, 0.18), (0.20, 0.38, 0.18), (0.40, 0.46, 0.16), (0.28, 0.40, 0.24)))
_AUTUMN = np.array(((0.72, 0.42, 0.12), (0.64, 0.28, 0.12), (0.74, 0.56, 0.16)))
_BLOSSOM = np.array(((0.86, 0.64, 0.70), (0.90, 0.84, 0.84)))
_PETALS = np.array(((0.95, 0.55, 0.65), (0.95, 0.90, 0.55), (0.96, 0.94, 0.94)))
_BARK = np.array((0.36, 0.27, 0.20))

# Layers of a crown, the dark mass first: share of the clusters, their radius, their tone, how far they lean to the sun.
_LAYERS = ((0.45, 0.42, 0.50, 0.0), (0.35, 0.28, 0.78, 0.10), (1.0, 0.13, 1.0, 0.18))


def paint_tree(painter: Painter, rng: np.random.Generator, foot: Array, *, height: float) -> None:
    """A broad tree, a poplar or a conifer. Trunk and crown are both vegetation, as Cityscapes has it."""
    if not _in_view(painter, foot, height * 0.4):
        return
    sprite = painter.sprite(foot, Label.VEGETATION)
    bark = painter.light.soft(_BARK * rng.uniform(0.8, 1.2), 0.3)
    kind = rng.choice(3, p=(0.68, 0.14, 0.18))
    width = height * (0.34, 0.16, 0.20)[kind] * rng.uniform(0.85, 1.15)
    stem = height * (0.34, 0.14, 0.10)[kind]
    girth = 0.045 * height
    trunk = np.array(((-1.0, 0.0), (1.0, 0.0), (0.6, 1.0), (-0.6, 1.0))) * (girth, height * 0.6)
    sprite.polygon(trunk, bark)
    sprite.polygon(np.stack((trunk[0] * 0.2, trunk[1], trunk[2], trunk[3] * (0, 1))), bark * 0.75)
    leaf = _leaf_colour(rng, evergreen=kind == 2)
    if kind == 2:
        _conifer(painter, sprite, rng, leaf, stem, height, width)
        return
    for spread in rng.uniform(-0.5, 0.5, 3):
        sprite.limb(((0, stem), (spread * width * 1.4, stem + (height - stem) * 0.5)), girth, bark * 0.85)
    middle = np.array((rng.normal(0, 0.04) * height, (stem + height) / 2))
    _leaves(painter, sprite, rng, leaf, middle, np.array((width, (height - stem) / 2)), count=70)


def paint_bush(painter: Painter, rng: np.random.Generator, foot: Array, *, radius: float) -> None:
    """A round bush, sometimes in flower."""
    if not _in_view(painter, foot, 2 * radius):
        return
    sprite = painter.sprite(foot, Label.VEGETATION)
    size = np.array((radius * rng.uniform(1.0, 1.5), radius * 0.8))
    middle = np.array((0.0, radius * 0.7))
    _leaves(painter, sprite, rng, _leaf_colour(rng), middle, size, count=36)
    if rng.random() < 0.35:
        petals = rng.normal(0, 0.38, (30, 2)) * size + (0, radius * 0.85)
        petals = petals[(((petals - middle) / size) ** 2).sum(axis=1) < 0.9]
        colour = painter.light.soft(_PETALS[rng.integers(len(_PETALS))], 0.5)
        sprite.discs(petals, np.full(len(petals), 0.07), np.tile(colour, (len(petals), 1)))


def paint_hedge(painter: Painter, rng: np.random.Generator, start: Array, end: Array, *, height: float) -> None:
    """A clipped hedge between two places, as bushes in a row, the far ones first."""
    count = max(2, int(np.linalg.norm(end - start) / (0.62 * height)))
    leaf = _leaf_colour(rng, evergreen=True)
    for share in np.linspace(1, 0, count):
        foot = start + (end - start) * share
        if _in_view(painter, foot, height):
            sprite = painter.sprite(foot, Label.VEGETATION)
            middle, size = np.array((0.0, 0.48)) * height, np.array((0.75, 0.56)) * height
            _leaves(painter, sprite, rng, leaf, middle, size, count=22)


def _in_view(painter: Painter, foot: Array, reach: float) -> bool:
    return painter.camera.sees(foot + np.outer((-reach, reach), painter.camera.right))


def _leaf_colour(rng: np.random.Generator, *, evergreen: bool = False) -> Array:
    season = 0.0 if evergreen else rng.random()
    table = _BLOSSOM if season > 0.96 else _AUTUMN if season > 0.87 else _GREENS
    return table[rng.integers(len(table))] * rng.uniform(0.85, 1.15)


def _leaves(
    painter: Painter, sprite: Sprite, rng: np.random.Generator, leaf: Array, middle: Array, size: Array, *, count: int
) -> None:
    """About `count` clusters within the ellipse of half axes `size` (2,) around `middle` (2,)."""
    sun = np.array((sprite.sun_side, 0.75))
    count = min(count, 12 + int(800 * sprite.share(size.min())))
    for share, radius, tone, lean in _LAYERS:
        number = int(count * share)
        angle = rng.uniform(0, 2 * np.pi, number)
        reach = np.sqrt(rng.random(number)) * (1 - radius * 0.8)
        place = np.column_stack((np.cos(angle), np.sin(angle))) * reach[:, None]
        brightness = tone + 0.30 * np.clip(place @ sun, -0.6, 1.0) + rng.normal(0, 0.05, number)
        order = np.argsort(brightness)
        place, brightness = place[order], brightness[order, None]
        colours = painter.light.soft(leaf * brightness, 0.25 + 0.45 * np.clip(place @ sun, 0, 1)[:, None])
        radii = radius * size.min() * rng.uniform(0.8, 1.25, number)
        sprite.discs(middle + (place + lean * sun * 0.5) * size, radii, colours)


def _conifer(
    painter: Painter, sprite: Sprite, rng: np.random.Generator, leaf: Array, stem: float, height: float, width: float
) -> None:
    """Six tiers with ragged edges, from below; the half towards the sun is brighter."""
    crown, soft = height - stem, painter.light.soft
    for tier in range(6):
        low = stem + crown * tier / 6.6
        tip = (0.0, min(low + crown * 0.34, height))
        reach = width * 1.25 * (1 - tier / 6.4)
        edge = np.linspace(-reach, reach, 9)
        ragged = low + np.arange(9) % 2 * 0.22 * width + rng.normal(0, 0.02 * width, 9)
        shade = leaf * (0.55 + 0.07 * tier)
        sprite.polygon((*np.column_stack((edge, ragged)), tip), soft(shade, 0.2))
        sunny = slice(4, 9) if sprite.sun_side > 0 else slice(0, 5)
        sprite.polygon((*np.column_stack((edge[sunny] * 0.92, ragged[4:] + 0.05)), tip), soft(shade * 1.15, 0.5))
