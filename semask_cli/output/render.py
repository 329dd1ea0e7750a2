"""Rendering of label maps: palette PNG, colours, overlay, side by side, legend.

A label without a class (255, ignored) is black in masks and transparent in overlays.
"""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo, putchunk

from semask_cli.errors import OutputError
from semask_cli.io.images import RGB
from semask_cli.output.class_shares import ClassShare
from semask_cli.output.percentages import format_share

try:
    from zlib_ng import zlib_ng as zlib  # equal output in a third of the time
except ImportError:  # may be missing on machines where nothing can be installed
    import zlib  # type: ignore[no-redef]

Labels = NDArray[np.uint8]
"""Class indices (H, W) uint8, 255 for no class."""

Palette = NDArray[np.uint8]
"""The colours of K <= 255 classes: uint8 RGB (K, 3)."""

_PREVIEW_SIDE = 512
_PNG_SIDE = 1_000_000  # libpng's PNG_USER_WIDTH_MAX
_GREY, _PALETTE = 0, 3  # colour types of a PNG
_UP = 2  # its filter that takes differences to the row above
_STRIP = 2**22  # pixels filtered at a time
_WHITE = (255, 255, 255)
_TEXT = (38, 42, 48)
_FAINT_TEXT = (112, 118, 128)


def encode_mask(labels: Labels, palette: Palette, *, dataset: str, classes: Sequence[str]) -> bytes:
    """A palette PNG: pixel values are the labels, the palette has the dataset's colours.

    Read it with Pillow, np.asarray(Image.open(path)). OpenCV silently expands palettes to colours, which repeat: use
    `encode_index` for it. A text chunk "semask" has the dataset and its classes as JSON.

    Raises:
        OutputError: as `encode_index`.
    """
    about = PngInfo()
    about.add_itxt("semask", json.dumps({"dataset": dataset, "classes": list(classes)}, ensure_ascii=False), zip=True)
    chunks = ((b"PLTE", _colour_table(palette).tobytes()), *(chunk[:2] for chunk in about.chunks))
    return _png(labels, _PALETTE, chunks)


def encode_index(labels: Labels) -> bytes:
    """A grey PNG whose pixel values are the labels, for any library.

    Raises:
        OutputError: it has more pixels per side than libpng allows.
    """
    return _png(labels, _GREY, ())


def _png(labels: Labels, colour_type: int, chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """An 8-bit PNG, with `chunks` between header and pixels (W3C, «PNG Specification»).

    Each row is stored as its difference to the one above, which leaves long runs of zeros, and zlib matches only runs.
    For street scenes this gives at most half of Pillow's size in a fraction of the time.
    """
    if max(labels.shape) > _PNG_SIDE:
        raise OutputError(f"a PNG is limited to {_PNG_SIDE} pixels per side", "Split the image.")
    height, width = labels.shape
    deflate = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    pieces = []
    above = np.zeros(width, np.uint8)
    for strip in np.array_split(labels, -(-labels.size // _STRIP)):
        rows = np.empty((len(strip), 1 + width), np.uint8)
        rows[:, 0] = _UP
        np.subtract(strip[0], above, out=rows[0, 1:])
        np.subtract(strip[1:], strip[:-1], out=rows[1:, 1:])
        pieces.append(deflate.compress(rows))
        above = strip[-1]
    pixels = b"".join([*pieces, deflate.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    buffer = io.BytesIO()
    buffer.write(b"\x89PNG\r\n\x1a\n")
    for kind, content in ((b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")):
        putchunk(buffer, kind, content)
    return buffer.getvalue()


def encode_grey(values: NDArray[np.uint8]) -> bytes:
    """An 8-bit grey PNG of `values` (H, W)."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def eight_bits(fractions: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Fractions (0 to 1) as 0 to 255, rounded and clipped."""
    return cv2.convertScaleAbs(np.clip(fractions, 0, 1), alpha=255)  # type: ignore[return-value]


def colorize(labels: Labels, palette: Palette) -> RGB:
    """The labels in the dataset's colours: RGB (H, W, 3)."""
    return cv2.applyColorMap(labels, _colour_table(palette)[:, None])  # type: ignore[return-value]


def overlay(image: RGB, labels: Labels, palette: Palette, *, opacity: float = 0.5) -> RGB:
    """The image tinted with each segment's colour at `opacity` (0 to 1), with fine light lines between segments."""
    tinted = cv2.addWeighted(colorize(labels, palette), opacity, image, 1 - opacity, 0)
    no_class = labels >= len(palette)
    if no_class.any():
        tinted[no_class] = image[no_class]
    to_white = cv2.multiply(cv2.bitwise_not(tinted), cv2.merge([_contours(labels)] * 3), scale=1 / 255)
    return cv2.add(tinted, to_white)  # type: ignore[return-value]


def outlined(image: RGB, labels: Labels, palette: Palette) -> RGB:
    """The image with the borders of segments drawn in the segments' colours."""
    opacity = cv2.merge([_contours(labels, width=2)] * 3)
    lines = cv2.multiply(colorize(labels, palette), opacity, scale=1 / 255)
    return cv2.add(cv2.multiply(image, cv2.bitwise_not(opacity), scale=1 / 255), lines)  # type: ignore[return-value]


def side_by_side(left: RGB, right: RGB) -> RGB:
    """Two images of one size with a narrow white gap between them: RGB (H, 2 W + gap, 3)."""
    height, width = left.shape[:2]
    gap = np.full((height, max(1, width // 100), 3), 255, np.uint8)
    return np.hstack([left, gap, right])


def preview(image: RGB, labels: Labels, palette: Palette, *, opacity: float = 0.5) -> RGB:
    """The image above its overlay, each at most 512 pixels per side: RGB (2 h, w, 3)."""
    factor = min(1, _PREVIEW_SIDE / max(labels.shape))
    size = [max(1, round(side * factor)) for side in labels.shape[::-1]]
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    small_labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return np.vstack([small, overlay(small, small_labels, palette, opacity=opacity)])


def legend(image: RGB, shares: Sequence[ClassShare]) -> RGB:
    """The image above a list of the classes: swatch, name and share, in as many columns as fit.

    The text size follows the image's. An image narrower than one column is centred; without classes there is no list.
    """
    if not shares:
        return image
    height, width = image.shape[:2]
    size = max(13, round(math.sqrt(height * width) / 44))
    panel = _panel(shares, size=size, width=width)
    canvas = np.full((height + panel.height, panel.width, 3), 255, np.uint8)
    x = (panel.width - width) // 2
    canvas[:height, x : x + width] = image
    canvas[height:] = panel
    return canvas


def _panel(shares: Sequence[ClassShare], *, size: int, width: int) -> Image.Image:
    """The list of the classes in text of `size` pixels, at least `width` wide."""
    font = ImageFont.load_default(size)
    percents = [format_share(share.share) for share in shares]
    name_width = math.ceil(max(font.getlength(share.name) for share in shares))
    percent_width = math.ceil(max(font.getlength(percent) for percent in percents))
    margin, gap, line = round(1.2 * size), round(1.5 * size), round(1.7 * size)
    column = line + name_width + size + percent_width
    fitting = max(1, (width - 2 * margin + gap) // (column + gap))
    rows = math.ceil(len(shares) / fitting)
    # Columns are spaced as if all that fit were used.
    step = (width - 2 * margin - column) // max(1, fitting - 1)

    panel = Image.new("RGB", (max(width, 2 * margin + column), rows * line + 2 * margin), _WHITE)
    draw = ImageDraw.Draw(panel)
    swatch = _swatch(size)
    for number, (share, percent) in enumerate(zip(shares, percents, strict=True)):
        x = margin + number // rows * step
        y = margin + number % rows * line + line // 2
        panel.paste(share.colour, (x, y - size // 2), swatch)
        draw.text((x + line, y), share.name, fill=_TEXT, font=font, anchor="lm")
        draw.text((x + column, y), percent, fill=_FAINT_TEXT, font=font, anchor="rm")
    return panel


def _swatch(size: int) -> Image.Image:
    """The mask of a square with round corners, drawn four times as large for smooth edges."""
    large = Image.new("L", (4 * size, 4 * size))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, 4 * size - 1, 4 * size - 1), radius=size, fill=255)
    return large.resize((size, size), Image.Resampling.BOX)


def _contours(labels: Labels, *, width: int = 1) -> NDArray[np.uint8]:
    """The opacity (H, W), 0 to 255, of smooth lines along borders, `width` pixels wide in an image of a megapixel."""
    width = round(width * max(1, math.sqrt(labels.size) / 1000))
    steps = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((width + 1, width + 1), np.uint8))
    _, lines = cv2.threshold(steps, 0, 255, cv2.THRESH_BINARY)
    return cv2.GaussianBlur(lines, (0, 0), 0.6)  # type: ignore[return-value]


def _colour_table(palette: Palette) -> Palette:
    """The palette, black where there is no class: (256, 3)."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    return table
