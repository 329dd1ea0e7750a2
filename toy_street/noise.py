"""Tileable noise, made once: clouds, stains of asphalt, leaves, grain."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from toy_street.camera import Array

SIZE = 512


@cache
def fractal_noise(*, octaves: int, start: int) -> Array:
    """Noise in 0..1, (SIZE + 1, SIZE + 1), the last row and column the first again.

    Octaves of `start`, 2 `start`, ... cells, each half as strong as the one before.
    """
    rng = np.random.default_rng(start)
    total = np.zeros((SIZE, SIZE), np.float32)
    for octave in range(octaves):
        cells = start << octave
        wrapped = np.pad(rng.random((cells, cells), np.float32), 2, mode="wrap")
        step = SIZE // cells
        smooth = cv2.resize(wrapped, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += smooth[2 * step : -2 * step, 2 * step : -2 * step] / (1 << octave)
    low, high = np.percentile(total, (1, 99))
    tile = np.clip((total - low) / (high - low), 0, 1).astype(np.float32)
    return np.pad(tile, ((0, 1), (0, 1)), mode="wrap")


def sample(noise: Array, x: Array, y: Array) -> Array:
    """`noise` at (x, y), in periods, interpolated."""
    # remap's coordinates are 16 bits: wrap them first.
    place = (x - np.floor(x)) * SIZE, (y - np.floor(y)) * SIZE
    return np.asarray(cv2.remap(noise, *place, cv2.INTER_LINEAR), np.float32)
