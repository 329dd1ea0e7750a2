"""A street scene from a seed: the plan, the painting back to front, the lens."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toy_street.camera import Camera
from toy_street.ground import paint_ground
from toy_street.labels import Label
from toy_street.lens import photograph
from toy_street.light import random_light
from toy_street.lots import plan_lots
from toy_street.painter import SUPERSAMPLING, Painter
from toy_street.sky import paint_sky
from toy_street.street import Street, random_street
from toy_street.traffic import plan_traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """`image` uint8 RGB (H, W, 3); `labels` uint8 (H, W), Cityscapes' train ids 0..18, and 255 for ignored pixels."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def render(seed: int, *, height: int = 256, width: int = 512) -> Scene:
    """The scene of `seed` (≥ 0): the same bytes for the same seed, size and library versions."""
    rng = np.random.default_rng(seed)
    light = random_light(rng)
    street = random_street(rng)
    size = (height * SUPERSAMPLING, width * SUPERSAMPLING)
    painter = Painter(_random_camera(street, rng, size), light)
    items = sorted([*plan_lots(street, rng), *plan_traffic(street, rng)], key=lambda item: -item.far)

    paint_sky(painter, rng)
    paint_ground(painter, street, [shadow for item in items for shadow in item.shadows(light.sun)], rng)
    for item in items:
        item.draw(painter)
    if rng.random() < 0.25:
        _paint_bonnet(painter, rng)
    labels = _one_label_per_pixel(painter.canvas[:, :, 3])
    colours = cv2.resize(painter.canvas[:, :, :3], (width, height), interpolation=cv2.INTER_AREA)
    return Scene(image=photograph(colours.astype(np.float32) / 255, labels, rng), labels=labels)


def _random_camera(street: Street, rng: np.random.Generator, size: tuple[int, int]) -> Camera:
    return Camera(
        x=street.road * rng.uniform(-0.15, 0.55),
        height=rng.uniform(1.3, 2.3),
        pitch=rng.uniform(-0.02, 0.07),
        yaw=rng.normal(0, 0.06),
        focal=rng.uniform(0.72, 1.0) * size[1],
        size=size,
    )


def _paint_bonnet(painter: Painter, rng: np.random.Generator) -> None:
    """The car that carries the camera, which is not evaluated."""
    height, width = painter.camera.size
    colour = rng.uniform(0.08, 0.5) * (painter.light.ambient + 0.3 * painter.light.sun_colour) * 255
    middle = (width // 2 + int(rng.normal(0, 0.06) * width), height + int(0.06 * height))
    radii = (int(rng.uniform(0.42, 0.6) * width), int(rng.uniform(0.12, 0.19) * height))
    for share, tone in ((1.0, 0.75), (0.94, 1.0), (0.6, 1.12)):
        axes = (int(radii[0] * share), int(radii[1] * share))
        scalar = (*np.clip(colour * tone, 0, 255).tolist(), float(Label.IGNORE))
        cv2.ellipse(painter.canvas, middle, axes, 0, 0, 360, scalar, -1)


def _one_label_per_pixel(fine: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The label that most sub-pixels of each pixel have: (2H, 2W) -> (H, W)."""
    a, b, c, d = fine[::2, ::2], fine[::2, 1::2], fine[1::2, ::2], fine[1::2, 1::2]
    # Where two of b, c and d agree, no label has more votes than theirs; elsewhere a has as many as any.
    pair = np.where((b == c) | (b == d), b, c)
    return np.where((b == c) | (b == d) | (c == d), pair, a)
