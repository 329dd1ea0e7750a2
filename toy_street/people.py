"""People on foot, and two-wheelers with their riders or parked."""

from __future__ import annotations

import math

import numpy as np

from toy_street.camera import Array
from toy_street.labels import Label
from toy_street.painter import Painter, Sprite

_SKIN = np.array(((0.93, 0.74, 0.62), (0.80, 0.58, 0.44), (0.60, 0.40, 0.28), (0.42, 0.28, 0.20)))
_HAIR = np.array(((0.14, 0.10, 0.08), (0.35, 0.22, 0.12), (0.70, 0.54, 0.30), (0.55, 0.53, 0.52)))
_CLOTHES = np.array(
    ((0.75, 0.18, 0.18), (0.16, 0.30, 0.60), (0.90, 0.72, 0.20), (0.92, 0.90, 0.88), (0.18, 0.18, 0.22),
     (0.45, 0.25, 0.50), (0.88, 0.48, 0.30), (0.20, 0.52, 0.52), (0.80, 0.50, 0.62))
)  # fmt: skip
_TROUSERS = np.array(((0.16, 0.19, 0.30), (0.22, 0.22, 0.24), (0.42, 0.36, 0.28), (0.30, 0.38, 0.50)))
_PAINTWORK = np.array(
    ((0.75, 0.12, 0.12), (0.12, 0.30, 0.62), (0.14, 0.14, 0.16), (0.15, 0.50, 0.30), (0.85, 0.55, 0.12))
)
_RUBBER = np.array((0.10, 0.10, 0.11))
_SPOKES = np.array((0.50, 0.52, 0.54))
_METAL = np.array((0.42, 0.43, 0.46))


def paint_person(painter: Painter, rng: np.random.Generator, foot: Array, *, height: float) -> None:
    """Someone who walks or stands, with a bag or a coat at times."""
    facing = _either_way(rng)
    sprite = painter.sprite(foot, Label.PERSON, facing=facing)
    stride = height * rng.uniform(0.02, 0.17)
    legs, shirt = _pick(rng, _TROUSERS), _pick(rng, _CLOTHES)
    hip, shoulder = 0.50 * height, 0.80 * height
    far, near = _two_tone(painter, legs)
    _leg(sprite, -stride, hip, height, far)
    _leg(sprite, stride, hip, height, near)
    dark, bright = _two_tone(painter, shirt)
    if rng.random() < 0.3:
        coat = np.array(((-0.10, 0.49), (0.10, 0.49), (0.14, 0.22), (-0.14, 0.22)))
        sprite.polygon(coat * height, dark)
    swing, hand = 0.9 * stride, hip - 0.02 * height
    sprite.limb(((0.0, shoulder - 0.03 * height), (swing, hand)), 0.075 * height, dark * 0.9)
    _torso(sprite, hip, shoulder, 0.125 * height, dark, bright)
    sprite.limb(((-0.02 * height, shoulder - 0.04 * height), (-swing, hand)), 0.075 * height, bright * 0.93)
    if rng.random() < 0.35:
        bag, _ = _two_tone(painter, _pick(rng, _CLOTHES) * 0.6)
        sprite.ellipse((-0.13 * height, 0.62 * height), (0.075 * height, 0.12 * height), bag)
    _head(painter, sprite, rng, np.array((0.015, 0.91)) * height, 0.078 * height, helmet=False)


def paint_bicycle(painter: Painter, rng: np.random.Generator, foot: Array, *, squash: float, ridden: bool) -> None:
    """A bicycle with `squash` of its length in view. Its wheels are labelled as discs, as Cityscapes has them."""
    facing = _either_way(rng)
    sprite = painter.sprite(foot, Label.BICYCLE, squash=squash, facing=facing)
    radius, reach = 0.36, 0.54
    for x in (-reach, reach):
        _spoked_wheel(painter, sprite, np.array((x, radius)), radius)
    frame, rubber = painter.light.soft(_pick(rng, _PAINTWORK), 0.5), painter.light.soft(_RUBBER, 0.4)
    rear, crank, seat, head, front = (-reach, radius), (-0.05, 0.30), (-0.22, 0.86), (0.36, 0.84), (reach, radius)
    stem, post = (head, (0.32, 1.02)), (seat, (-0.25, 0.95))
    for joints in ((rear, crank, seat, rear), (crank, head, seat), (head, front), stem, post):
        sprite.limb(joints, 0.075, frame)
    sprite.limb(((0.22, 1.04), (0.46, 1.02)), 0.08, rubber)
    sprite.limb(((-0.38, 0.96), (-0.12, 0.96)), 0.10, rubber)
    if ridden:
        # A body is as broad from the front as from the side, unlike a wheel.
        rider = painter.sprite(foot, Label.RIDER, squash=max(squash, 0.55), facing=facing)
        _rider(painter, rider, rng, seat=0.98, hands=(0.36, 1.06), pedal=(0.02, 0.14), lean=0.22)


def paint_motorcycle(painter: Painter, rng: np.random.Generator, foot: Array, *, squash: float, ridden: bool) -> None:
    """A motorcycle with `squash` of its length in view."""
    facing = _either_way(rng)
    sprite = painter.sprite(foot, Label.MOTORCYCLE, squash=squash, facing=facing)
    soft = painter.light.soft
    for x in (-0.72, 0.72):
        sprite.ellipse((x, 0.34), (0.34, 0.34), soft(_RUBBER, 0.3))
        sprite.ellipse((x, 0.34), (0.20, 0.20), soft(np.array((0.55, 0.56, 0.58)), 0.4))
    dark, bright = _two_tone(painter, _pick(rng, _PAINTWORK))
    metal = soft(_METAL, 0.4)
    sprite.limb(((0.45, 0.95), (0.74, 0.36)), 0.12, metal)
    sprite.polygon(((-0.55, 0.34), (0.42, 0.34), (0.50, 0.72), (-0.62, 0.66)), metal * 0.7)
    sprite.polygon(((-0.95, 0.70), (-0.40, 0.50), (0.10, 0.66), (-0.30, 0.88), (-0.92, 0.86)), dark)
    sprite.ellipse((0.20, 0.84), (0.36, 0.19), bright)  # the tank
    sprite.limb(((-0.62, 0.90), (-0.12, 0.86)), 0.14, soft(_RUBBER * 1.4, 0.4))
    sprite.polygon(((0.46, 0.80), (0.72, 0.86), (0.56, 1.24), (0.44, 1.10)), bright)
    sprite.limb(((0.30, 1.10), (0.52, 1.08)), 0.09, soft(_RUBBER, 0.4))
    sprite.limb(((-0.95, 0.34), (-0.2, 0.30)), 0.12, soft(np.array((0.7, 0.7, 0.72)), 0.5))
    lamp = np.array((1.0, 0.95, 0.8)) if rng.random() < 0.5 else np.array((0.9, 0.15, 0.12))
    sprite.ellipse((0.68, 0.92), (0.09, 0.10), lamp)
    if ridden:
        rider = painter.sprite(foot, Label.RIDER, squash=max(squash, 0.55), facing=facing)
        _rider(painter, rider, rng, seat=0.92, hands=(0.36, 1.10), pedal=(0.05, 0.36), lean=0.16)


def _rider(
    painter: Painter, sprite: Sprite, rng: np.random.Generator, *,
    seat: float, hands: tuple[float, float], pedal: tuple[float, float], lean: float,
) -> None:  # fmt: skip
    far, near = _two_tone(painter, _pick(rng, _TROUSERS))
    hip = np.array((-0.20, seat))
    knee = np.array((0.16, (seat + pedal[1]) / 2 + 0.14))
    for lift, colour in ((0.16, far), (-0.02, near)):
        ankle = np.array((pedal[0], pedal[1] + lift))
        sprite.limb((hip, knee + np.array((0, lift * 0.6)), ankle), 0.17, colour)
    dark, bright = _two_tone(painter, _pick(rng, _CLOTHES))
    shoulder = hip + np.array((lean, 0.58))
    body = np.stack((hip, hip + np.array((0, 0.1)), shoulder))
    sprite.limb(body, 0.36, dark)
    sprite.limb(body + np.array((0.05 * sprite.sun_side, 0.02)), 0.22, bright)
    elbow = (hands[0] * 0.8, hands[1] + 0.06)
    sprite.limb(np.stack((shoulder, elbow, hands)), 0.11, bright * 0.9)
    _head(painter, sprite, rng, shoulder + np.array((0.08, 0.29)), 0.15, helmet=True)


def _spoked_wheel(painter: Painter, sprite: Sprite, centre: Array, radius: float) -> None:
    soft = painter.light.soft
    sprite.ellipse(centre, (radius, radius), soft(_RUBBER, 0.3))
    sprite.ellipse(centre, (radius * 0.80, radius * 0.80), soft(_SPOKES, 0.3))
    for turn in range(6):
        spoke = np.array((math.cos(turn * math.pi / 6), math.sin(turn * math.pi / 6))) * radius * 0.8
        sprite.limb((centre - spoke, centre + spoke), 0.02, soft(_SPOKES * 1.5, 0.4))


def _leg(sprite: Sprite, step: float, hip: float, height: float, colour: Array) -> None:
    knee, ankle = (step * 0.62, hip * 0.52), (step, 0.05 * height)
    sprite.limb(((0.0, hip), knee, ankle), 0.098 * height, colour)
    heel, toe = (step - 0.02 * height, 0.025 * height), (step + 0.05 * height, 0.025 * height)
    sprite.limb((heel, toe), 0.05 * height, colour * 0.5)


def _torso(sprite: Sprite, hip: float, shoulder: float, half: float, dark: Array, bright: Array) -> None:
    low, high = shoulder - 0.05, shoulder + 0.03
    outline = np.array(((-0.75, hip), (0.75, hip), (1.0, low), (0.6, high), (-0.6, high), (-1.0, low)))
    sprite.polygon(outline * (half, 1), dark)
    sprite.polygon(outline * (half * 0.62, 0.97) + (0.35 * half * sprite.sun_side, 0.02), bright)


def _head(
    painter: Painter, sprite: Sprite, rng: np.random.Generator, centre: Array, radius: float, *, helmet: bool
) -> None:
    dark, skin = _two_tone(painter, _pick(rng, _SKIN))
    sprite.limb((centre - (0, 1.5 * radius), centre), radius * 0.9, dark)
    cover = painter.light.soft(_pick(rng, _PAINTWORK if helmet else _HAIR), 0.45)
    if helmet:
        sprite.ellipse(centre, (radius, radius * 1.1), skin)
        sprite.ellipse(centre + np.array((0, 0.3 * radius)), (radius * 1.15, radius * 0.9), cover)
    else:
        sprite.ellipse(centre + np.array((-0.1 * radius, 0.15 * radius)), (radius * 1.08, radius * 1.15), cover)
        sprite.ellipse(centre + np.array((0.12 * radius, -0.12 * radius)), (radius * 0.82, radius * 0.95), skin)


def _two_tone(painter: Painter, albedo: Array) -> tuple[Array, Array]:
    """The shaded and the sunny side of a round thing."""
    return painter.light.soft(albedo, 0.15) * 0.85, painter.light.soft(albedo, 0.65)


def _either_way(rng: np.random.Generator) -> int:
    return int(rng.choice((-1, 1)))


def _pick(rng: np.random.Generator, table: Array) -> Array:
    return table[rng.integers(len(table))] * rng.uniform(0.85, 1.12)
