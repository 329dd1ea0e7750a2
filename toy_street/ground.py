"""The ground: every sub-pixel below the horizon is traced to the road plane, where the stripes of a `Street` lie."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toy_street.camera import Array
from toy_street.labels import Label
from toy_street.light import Light
from toy_street.noise import fractal_noise, sample
from toy_street.painter import SUPERSAMPLING, Painter
from toy_street.street import Street

_KERB = 0.25
_BAND = 32
_STAINS, _GRAIN = np.zeros(256, np.float32), np.zeros(256, np.float32)
_STAINS[[Label.ROAD, Label.SIDEWALK, Label.TERRAIN]] = 0.18, 0.12, 0.30
_GRAIN[[Label.ROAD, Label.SIDEWALK, Label.TERRAIN]] = 0.22, 0.12, 0.65
_PAINT = np.array((0.93, 0.92, 0.88), np.float32)


@dataclass(frozen=True, slots=True)
class _Stripes:
    """The zones of the ground from left to right: `edges` (N - 1,) between N `labels` and `albedos` (N, 3)."""

    edges: list[float]
    labels: NDArray[np.uint8]
    albedos: Array


@dataclass(frozen=True, slots=True)
class _Texture:
    """Where the noise begins, in periods, and the size of a slab of the sidewalk in metres."""

    across: np.float32
    along: np.float32
    slab: np.float32


@dataclass(frozen=True, slots=True)
class _Markings:
    """Patches (lateral, half width, z of start and end, tone), manholes (lateral, z), and the lines."""

    patches: list[tuple[float, float, float, float, float]]
    manholes: list[tuple[float, float]]
    worn: np.float32
    period: float
    dash: float
    double: bool
    edge_lines: bool


@dataclass(frozen=True, slots=True)
class _Ground:
    """Places under a band of sub-pixels, in metres: (rows, columns), and (rows, 1) for the distance along the view."""

    lateral: Array
    z: Array
    distance: Array


def paint_ground(painter: Painter, street: Street, shadows: list[Array], rng: np.random.Generator) -> None:
    """Everything below the horizon. The sun does not reach the `shadows`, convex polygons (corners, 3)."""
    height = painter.camera.size[0]
    first = max(0, int(painter.camera.horizon) + 2)
    stripes, texture, markings = _random_stripes(street, rng), _random_texture(rng), _random_markings(street, rng)
    sunlit = 1 - _shadow_mask(painter, shadows, first)
    # A few rows at a time, so that everything stays in the processor's cache.
    for top in range(first, height, _BAND):
        rows = slice(top, min(top + _BAND, height))
        ground = _trace(painter, street, rows)
        zone = np.zeros(ground.z.shape, np.uint8)
        for edge in stripes.edges:
            zone += ground.lateral > edge
        label = stripes.labels[zone]
        albedo = stripes.albedos[zone]
        albedo *= _tone(texture, label, ground)[..., None]
        _mark_road(albedo, street, markings, ground)
        band = sunlit[top - first : rows.stop - first]
        painter.canvas[rows, :, :3] = _lit(painter.light, albedo, band, ground.distance)
        painter.canvas[rows, :, 3] = label


def _trace(painter: Painter, street: Street, rows: slice) -> _Ground:
    camera = painter.camera
    x, y, z = camera.rays(range(rows.start, rows.stop), range(camera.size[1]))
    distance = camera.height / -y
    z = z * distance
    lateral = (x * distance + np.float32(camera.x)) - np.float32(street.bend / 2) * z * z
    return _Ground(lateral, z, distance)


def _lit(light: Light, albedo: Array, sunlit: Array, distance: Array) -> Array:
    """The colour of the ground in 0..255: sun and sky on `albedo`, then the haze."""
    sun = (light.sun_colour * light.sun[1]).astype(np.float32)
    clear = 255 * np.exp(-light.haze_density * distance)[..., None]
    colour = albedo * (light.ambient.astype(np.float32) + sun * sunlit[..., None])
    colour *= clear
    colour += light.horizon.astype(np.float32) * (255 - clear)
    return np.minimum(colour, 255, out=colour)


def _random_stripes(street: Street, rng: np.random.Generator) -> _Stripes:
    asphalt = rng.uniform(0.34, 0.50) * np.array((1.0, 1.0, 1.03))
    slabs = rng.uniform(0.58, 0.74) * (1 + rng.uniform(-0.06, 0.06) * np.array((1.0, 0.1, -1.0)))
    grass = np.array((0.36, 0.50, 0.20)) * rng.uniform(0.85, 1.15, 3)
    left, right = (_outwards(street, side, slabs, grass) for side in (-1, 1))
    # Left stripes end where they begin on the right: at the edge towards the middle of the road.
    stripes = [
        *((-start, label, albedo) for start, label, albedo in reversed(left)),
        (0.0, Label.ROAD, asphalt),
        *right,
    ]
    return _Stripes(
        edges=[edge for edge, label, _ in stripes if label != Label.ROAD],
        labels=np.array([label for _, label, _ in stripes], np.uint8),
        albedos=np.array([albedo for _, _, albedo in stripes], np.float32),
    )


def _outwards(street: Street, side: int, slabs: Array, grass: Array) -> list[tuple[float, Label, Array]]:
    """Kerb, verge, sidewalk and lots of one side: (distance from the middle of the road at which it begins, ...)."""
    edge = street.road
    stripes = [(edge, Label.SIDEWALK, slabs * 1.15)]
    edge += _KERB
    if verge := street.verge(side):
        stripes.append((edge, Label.TERRAIN, grass))
        edge += verge
    lots = (Label.SIDEWALK, slabs * 0.94) if street.paved else (Label.TERRAIN, grass)
    return [*stripes, (edge, Label.SIDEWALK, slabs), (abs(street.lot_line(side)) + _KERB, *lots)]


def _random_texture(rng: np.random.Generator) -> _Texture:
    across, along = rng.random(2, np.float32)
    return _Texture(across, along, np.float32(rng.uniform(0.6, 1.1)))


def _tone(texture: _Texture, label: NDArray[np.uint8], ground: _Ground) -> Array:
    """What multiplies the albedo: stains on asphalt, joints between slabs, blades of grass."""
    lateral, z = ground.lateral, ground.z
    across, along, slab = texture.across, texture.along, texture.slab
    broad = sample(fractal_noise(octaves=6, start=8), lateral / 19 + across, z / 19 + along) - 0.5
    fine = sample(fractal_noise(octaves=3, start=64), lateral / 7 + along, z / 7 + across) - 0.5
    fade = 1 / (1 + ground.distance / 14)  # patterns dissolve in the distance instead of flickering
    tone = 1 + broad * _STAINS[label] + fine * _GRAIN[label] * fade
    joint = (np.abs(_phase(lateral, slab) - 0.5) > 0.46) | (np.abs(_phase(z, slab) - 0.5) > 0.46)
    tone[joint & (label == Label.SIDEWALK)] *= 0.80
    return tone


def _random_markings(street: Street, rng: np.random.Generator) -> _Markings:
    patches = []
    for _ in range(rng.integers(0, 4)):
        centre, start = rng.uniform(-street.road, street.road), rng.uniform(5, 30)
        patches.append((centre, rng.uniform(0.5, 1.6), start, start + rng.uniform(2, 9), rng.uniform(0.72, 1.25)))
    manholes = [(rng.uniform(-0.7, 0.7) * street.road, rng.uniform(5, 18)) for _ in range(rng.integers(0, 3))]
    worn = np.float32(rng.uniform(0.65, 1.0))
    period, dash = ((6.0, 3.0), (9.0, 3.5), (4.0, 2.0))[rng.integers(3)]
    double = not street.has_tram and bool(rng.random() < 0.3)
    return _Markings(patches, manholes, worn, period, dash, double, edge_lines=bool(rng.random() < 0.5))


def _mark_road(albedo: Array, street: Street, markings: _Markings, ground: _Ground) -> None:
    """Patches, manholes, lane lines, the zebra crossing and rails, in place. All of it is road."""
    lateral, z = ground.lateral, ground.z
    from_middle = np.abs(lateral)
    on_road = from_middle < street.road - 0.05
    for centre, half, start, end, tone in markings.patches:
        albedo[on_road & (np.abs(lateral - centre) < half) & (z > start) & (z < end)] *= tone
    for centre, start in markings.manholes:
        albedo[(lateral - centre) ** 2 + (z - start) ** 2 < 0.16] *= 0.55
    albedo[on_road & (from_middle > street.road - 0.45)] *= 0.86  # the gutter

    dashed = _phase(z, markings.period) < markings.dash / markings.period
    if street.has_tram:
        line = (np.abs(np.abs(lateral - street.tram) - 1.75) < 0.08) & dashed
    elif markings.double:
        line = np.abs(from_middle - 0.16) < 0.07
    else:
        line = (from_middle < 0.09) & dashed
    if markings.edge_lines:
        line |= np.abs(from_middle - (street.road - 2.2)) < 0.07
    if street.crossing:
        zebra = (z > street.crossing) & (z < street.crossing + 3.4)
        line = np.where(zebra, (_phase(lateral, 1.1) < 0.55) & on_road, line)
        stop = (z > street.crossing - 1.6) & (z < street.crossing - 1.1) & on_road
        line |= stop & (lateral > 0)
    albedo[line] = albedo[line] * (1 - markings.worn) + _PAINT * markings.worn
    if street.has_tram:
        rail = np.abs(np.abs(lateral - street.tram) - 0.72)
        albedo[rail < 0.14] *= 0.62
        albedo[rail < 0.05] = (0.62, 0.63, 0.66)


def _phase(position: Array, period: float | np.float32) -> Array:
    """Where in its period each position is, 0..1. (numpy's % on float32 takes ten times as long.)"""
    turns = position / period
    turns -= np.floor(turns)
    return turns


def _shadow_mask(painter: Painter, shadows: list[Array], first: int) -> Array:
    """(rows, columns) of the ground, 0 in full sun to 1 in full shadow, with soft edges."""
    height, width = painter.camera.size
    mask = np.zeros(((height - first + 1) // SUPERSAMPLING, width // SUPERSAMPLING), np.uint8)
    for shadow in shadows:
        # What lies behind the camera is pulled in front of it: the part that shows stays right.
        ahead = np.column_stack((shadow[:, 0], shadow[:, 1], np.maximum(shadow[:, 2], 2.0)))
        pixels, _ = painter.camera.project(ahead)
        pixels = np.clip((pixels - (0, first)) / SUPERSAMPLING, -4000, 4000)
        cv2.fillConvexPoly(mask, np.rint(pixels * 16).astype(np.int32), 255, shift=4)
    soft = cv2.GaussianBlur(mask, (0, 0), 1.5)
    return cv2.resize(soft, (width, height - first), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
