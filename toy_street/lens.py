"""From painted colours to a photograph: texture, bloom, vignette, tone, and the sensor's noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toy_street.camera import Array
from toy_street.labels import Label
from toy_street.noise import SIZE, fractal_noise

# How much the surface of a class varies from pixel to pixel.
_ROUGHNESS = np.zeros(256, np.float32)
_ROUGHNESS[[Label.BUILDING, Label.WALL, Label.FENCE, Label.VEGETATION]] = 0.10, 0.14, 0.10, 0.42


def photograph(colours: Array, labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """`colours` float32 (H, W, 3) in 0..1 as a camera would have taken them."""
    height, width = labels.shape
    texture = _tile(fractal_noise(octaves=4, start=32), height, width, rng) - 0.5
    image = colours * (1 + texture * _ROUGHNESS[labels])[..., None]

    quarter = cv2.resize(np.maximum(image - 0.82, 0), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    bright = cv2.resize(cv2.GaussianBlur(quarter, (0, 0), width / 360), (width, height), interpolation=cv2.INTER_LINEAR)
    image += bright * np.float32(rng.uniform(0.4, 1.0))
    across = np.linspace(-1, 1, width, dtype=np.float32)[None]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    image *= (1 - rng.uniform(0.04, 0.16) * (across**2 + down**2))[..., None].astype(np.float32)

    image = np.clip(image, 0, 1)
    contrast = np.float32(rng.uniform(0.10, 0.45))
    image = image * (1 - contrast) + image * image * (3 - 2 * image) * contrast
    noise = rng.standard_normal((height, width), np.float32)[..., None] * np.float32(rng.uniform(0.004, 0.014))
    return np.clip((image + noise) * 255 + 0.5, 0, 255).astype(np.uint8)


def _tile(noise: Array, height: int, width: int, rng: np.random.Generator) -> Array:
    top, left = rng.integers(0, SIZE, 2)
    return noise[np.ix_((np.arange(height) + top) % SIZE, (np.arange(width) + left) % SIZE)]
