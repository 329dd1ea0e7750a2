"""Self-contained HTML pages: styles, scripts and images are embedded, and nothing is loaded from the network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from semask_cli.io.images import RGB
from semask_cli.output.percentages import format_percent

_HIGHEST = 10_000  # pixels; a JPEG has 65,500 at most


def render_page(template: str, **values: Any) -> str:
    """Render `template`, a file in templates/, with `values`."""
    return _environment().get_template(template).render(**values)


def encoded(text: str) -> bytes:
    """UTF-8. Bytes of a file name that are not UTF-8 become \\udc.., which JSON reads back."""
    return text.encode("utf-8", "backslashreplace")


def thumbnail(pixels: RGB, *, width: int) -> str:
    """An image, at most `width` wide and _HIGHEST high, as a data URL of a JPEG."""
    factor = min(1, width / pixels.shape[1], _HIGHEST / pixels.shape[0])
    size = [max(1, round(side * factor)) for side in pixels.shape[1::-1]]
    small = pixels if factor == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return _address(small, "jpeg", quality=80)


def exact(pixels: RGB) -> str:
    """An image as a data URL of a PNG, lossless."""
    return _address(pixels, "png", optimize=True)


def painted(
    image: RGB, areas: Iterable[tuple[NDArray[np.bool_], Sequence[int]]], *, pale: NDArray[np.bool_], brightness: float
) -> RGB:
    """The image in grey of a `brightness` (0 to 1), tinted in `areas` (masks with RGB colours), `pale` in a mask."""
    grey = image.mean(axis=2, keepdims=True, dtype=np.float32)
    shown = np.repeat(grey * brightness, 3, axis=2)
    for mask, colour in areas:
        shown[mask] = grey[mask] * 0.2 + np.array(colour, np.float32) * 0.8
    shown[pale] = grey[pale] * 0.3 + 160
    return shown.clip(0, 255).astype(np.uint8)


def _address(pixels: NDArray[Any], kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = format_percent
    environment.filters["signed"] = lambda value: f"{value:+.2f}".replace("-", "−")
    return environment
