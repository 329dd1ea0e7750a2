"""Damaged images: refused with ImageError, or uint8 RGB; a truncated one is never taken for another."""

from __future__ import annotations

import io
import random
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from semask_cli.errors import ImageError
from semask_cli.io.images import read_image
from tests.faults.case import Fault, mutate

MAX_PIXELS = 4_000_000

_FORMATS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("JPEG", "RGB", {"quality": 90}),
    ("JPEG", "RGB", {"quality": 60, "progressive": True, "subsampling": 2}),
    ("JPEG", "L", {}),
    ("JPEG", "CMYK", {}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {}),
    ("PNG", "1", {}),
    ("PNG", "I;16", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGBA", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "L", {"compression": "packbits"}),
    ("BMP", "RGB", {}),
    ("BMP", "P", {}),
    ("GIF", "P", {}),
    ("AVIF", "RGB", {}),
    ("PPM", "RGB", {}),
    ("PPM", "L", {}),
)


@cache
def whole(index: int) -> bytes:
    kind, mode, options = _FORMATS[index]
    draw = np.random.default_rng(index)
    y, x = np.mgrid[:48, :64]
    rgb = np.stack([x * 4, y * 5, (x + y) * 2], -1).astype(np.uint8)
    rgb[10:30, 10:30] = draw.integers(0, 256, (20, 20, 3))
    image = Image.fromarray(rgb)
    image = Image.fromarray(rgb[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    image.save(buffer := io.BytesIO(), kind, **options)
    return buffer.getvalue()


@cache
def pixels(index: int) -> np.ndarray:
    return read_image(whole(index))


def image_case(draw: random.Random, folder: Path) -> str:
    index = draw.randrange(len(_FORMATS))
    data, damage = mutate(draw, whole(index))
    path = folder / "image.bin"
    path.write_bytes(data)
    try:
        found = read_image(path, max_pixels=MAX_PIXELS)
    except ImageError:
        return "refused"
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3 or found.size == 0:
        raise Fault(f"{found.dtype} {found.shape}")
    if damage == "truncate" and not np.array_equal(found, pixels(index)):
        raise Fault(f"a truncated {_FORMATS[index][0]} was taken for another image")
    return "read"
