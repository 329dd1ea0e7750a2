"""The formats of images: which are read, and what a file is that is none of them."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import BinaryIO

from semask_cli.errors import ImageError

AGAIN = "Download or export it again."
"""The suggestion for a damaged image."""

# Formats in which Pillow reports every truncation. Excluded: those that run other programs (EPS) or lack a signature.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM")

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".ppm", ".pgm")
)
"""Lower-case suffixes of images in searched folders. A file that is named itself may have any suffix."""

_SIGNATURES = (
    ((b"<html", b"<!doctype html"), "a web page", "Open its address in a browser and save the image itself."),
    ((b"<svg",), "an SVG drawing", "Export it as PNG first."),
    ((b"%pdf",), "a PDF document", "Export the page as PNG first."),
    ((b"ftyphei", b"ftypmif1"), "a HEIC image", "Export it as JPEG or PNG first."),
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_image_path(path: Path) -> bool:
    """Whether `path` has the suffix of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def not_an_image(stream: BinaryIO, name: str) -> ImageError:
    """The error for a file that is not an image, with its real format if the first bytes tell."""
    stream.seek(0)
    head = stream.read(1024)
    if not head:
        return ImageError(f"{name} is empty", AGAIN)
    for signatures, kind, suggestion in _SIGNATURES:
        if any(signature in head.lower() for signature in signatures):
            return ImageError(f"{name} is {kind}, which semask does not read", suggestion)
    if _is_text(head):
        return ImageError(f"{name} is text, not an image")
    if head.startswith(_TIFF):
        message = f"{name} is damaged, or a TIFF whose bands or number type Pillow does not read"
        return ImageError(message, "With -o labels.tif, semask predict reads it as a raster.")
    return ImageError(f"{name} is not an image that semask reads, or is damaged", f"It reads {', '.join(FORMATS)}.")


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut off
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)
