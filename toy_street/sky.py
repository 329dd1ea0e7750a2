"""The sky: a gradient, the sun's glow, and a deck of clouds lit from the sun's side."""

from __future__ import annotations

import cv2
import numpy as np

from toy_street.camera import Array
from toy_street.labels import Label
from toy_street.noise import fractal_noise, sample
from toy_street.painter import SUPERSAMPLING, Painter


def paint_sky(painter: Painter, rng: np.random.Generator) -> None:
    """Fill the canvas from its top to a little below the horizon."""
    camera, light = painter.camera, painter.light
    height, width = camera.size
    rows = min(height, int(camera.horizon) + 8)
    # Nothing in the sky is sharp: a quarter of the canvas' resolution is enough.
    step = 2 * SUPERSAMPLING
    x, y, z = camera.rays(range(0, rows, step), range(0, width, step))
    length = np.sqrt(x * x + y * y + z * z)
    elevation = np.clip(y / length, 0, 1)

    rise = (np.clip(elevation / 0.55, 0, 1) ** 0.6)[..., None]
    colour = light.horizon * (1 - rise) + light.zenith * rise
    towards_sun = np.clip((x * light.sun[0] + y * light.sun[1] + z * light.sun[2]) / length, 0, 1)[..., None]
    glow = 0.30 * towards_sun**6 + 0.35 * towards_sun**40 + 0.9 * np.clip((towards_sun - 0.9993) * 4000, 0, 1)
    colour = colour + glow * light.sun_colour

    cover = _clouds(x, y, z, light.clouds, rng)
    lit = sample(fractal_noise(octaves=5, start=4), x * 0.1 + 0.3, z * 0.1)[..., None] * 0.18
    white = np.clip(0.55 * light.ambient + 0.75 * light.sun_colour + 0.30 * light.horizon, 0, 1)
    colour = colour * (1 - cover) + (white - lit + 0.15 * glow) * cover
    colour = np.clip(colour * 255, 0, 255).astype(np.uint8)
    painter.canvas[:rows, :, :3] = cv2.resize(colour, (width, rows), interpolation=cv2.INTER_LINEAR)
    painter.canvas[:rows, :, 3] = Label.SKY


def _clouds(x: Array, y: Array, z: Array, amount: float, rng: np.random.Generator) -> Array:
    """How much of the sky is behind clouds, 0..1, (rows, columns, 1): a flat deck seen in perspective."""
    reach = 0.10 / (np.maximum(y, 0) + 0.12)
    across, along = rng.random(2, np.float32)
    density = sample(fractal_noise(octaves=6, start=4), x * reach + across, z * reach + along)
    threshold = 0.95 - 0.75 * amount
    fade = np.clip(y / 0.06, 0, 1)
    return (np.clip((density - threshold) / 0.35, 0, 1) * fade * 0.9)[..., None]
