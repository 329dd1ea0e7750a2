"""Deterministic weights and images: the inputs of the reference figures in tests/golden.

The figures were computed with the authors' published code on these inputs. Each tensor is drawn from a generator seeded
by the CRC-32 of its published name, so programs that agree on names and shapes agree on weights, without a checkpoint.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

LARGE = 100_000  # numbers that take longer to draw than to read
FREE = 4 << 30  # bytes for other files of the tests


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of the tensor `name`, float32 (int64 zeros for a BatchNorm's counter).

    Rows share most of their tensors: a large one is drawn once in a run of pytest, by whichever process wants it first,
    if the disk has space.
    """
    folder = os.environ.get("SEMASK_DRAWN_WEIGHTS")
    if not folder or np.prod(shape) < LARGE:
        return _drawn(name, shape)
    path = Path(folder, f"{name} {shape}.npy")
    if not path.exists():
        if shutil.disk_usage(folder).free < FREE:
            return _drawn(name, shape)
        part = path.with_suffix(f".{os.getpid()}")
        with part.open("wb") as file:
            np.save(file, _drawn(name, shape))
        part.replace(path)
    mapped: np.ndarray = np.load(path, mmap_mode="c")
    return mapped


def _drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    leaf = name.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        return (rng.random_sample(shape) + 0.5).astype(np.float32)
    noise = rng.standard_normal(shape).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    if leaf == "relative_position_bias_table":
        return 0.5 * noise
    if leaf == "gamma":
        return 0.5 + 0.1 * noise
    if name.endswith("sampling_offsets.bias"):
        return 2.0 * noise
    if "embed" in ".".join(name.split(".")[-2:]).rpartition(".")[0] or leaf == "level_embed" or "query_feat" in name:
        return noise if noise.ndim == 2 else noise / np.sqrt(max(1, fan_in)).astype(np.float32)
    if noise.ndim >= 2:
        return noise / np.sqrt(fan_in).astype(np.float32)
    return 1.0 + 0.1 * noise if leaf == "weight" else 0.1 * noise


def state_dict(shapes: Iterable[tuple[str, Iterable[int]]]) -> dict[str, np.ndarray]:
    """A value for every (name, shape), index buffers left out."""
    return {n: tensor(n, tuple(s)) for n, s in shapes if not n.endswith("relative_position_index")}


def image(height: int, width: int, seed: int) -> np.ndarray:
    """A uint8 RGB image (height, width, 3) of waves, boxes and noise."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    image = np.zeros((height, width, 3))
    for _ in range(6):
        fy, fx, phase = rng.uniform(0.5, 6, 3)
        amplitude = rng.uniform(-60, 60, 3)
        image += np.sin(2 * np.pi * (fy * y / height + fx * x / width) + phase)[..., None] * amplitude
    for _ in range(8):
        top, left = rng.randint(0, height), rng.randint(0, width)
        h, w = rng.randint(1, height // 2 + 2), rng.randint(1, width // 2 + 2)
        image[top : top + h, left : left + w] += rng.uniform(-80, 80, 3)
    image += rng.normal(0, 6, image.shape)
    return np.clip(image + 118, 0, 255).astype(np.uint8)


def labels(height: int, width: int, classes: int, *, seed: int, ignore: int | None = 255) -> np.ndarray:
    """A uint8 label map (height, width) of 8 x 8 blocks, 7 % of its pixels set to `ignore`."""
    rng = np.random.RandomState(seed)
    blocks = rng.randint(0, classes, (height // 8 + 1, width // 8 + 1))
    full = np.kron(blocks, np.ones((8, 8), np.int64))[:height, :width]
    if ignore is not None:
        full[rng.random_sample(full.shape) < 0.07] = ignore
    return full.astype(np.uint8)
