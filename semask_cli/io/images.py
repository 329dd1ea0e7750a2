"""The only reader of images: any source -> uint8 RGB (H, W, 3), as a viewer shows it.

Pillow decodes. Its pixels equal OpenCV's bit for bit on JPEG (every subsampling, baseline and progressive), PNG (8 and
16 bits), WebP, AVIF, BMP and GIF, so one reader serves the rows published with OpenCV and those published with Pillow.
(On CMYK JPEG and 16-bit colour TIFF they differ by 1.) And Pillow reports a truncated file, where OpenCV returns grey.

An intact JPEG is decoded by simplejpeg: libjpeg-turbo, as in Pillow, without Pillow's copies of the pixels. It is used
in strict mode, in which guessed data is an error: then Pillow decodes, which would give the same pixels otherwise.

Conventions for images that are not plain 8-bit RGB:

- EXIF orientation is applied; a damaged EXIF block is ignored. Colour profiles are ignored, as in the published code.
- Alpha and transparency are dropped, not blended: the stored colours stay, as with cv2.IMREAD_COLOR.
- 16 bits become 8 by dropping the low byte, as in OpenCV. 32-bit integers and floats have no known range: refused.
- Grey, 1-bit, palette, YCbCr and CMYK (also Adobe's inverted one) become RGB.
- The first frame of an animation or multi-page TIFF is read.
- The format is determined by content, not by the name's suffix.
"""

from __future__ import annotations

import ctypes
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from semask_cli.errors import ImageError, printable
from semask_cli.io.image_formats import AGAIN, FORMATS, not_an_image
from semask_cli.io.regular import open_regular

RGB = NDArray[np.uint8]
"""An image: uint8 RGB (H, W, 3)."""

ImageSource = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | RGB

MAX_PIXELS = 2**28
"""The default limit of an image: 16384 x 16384 pixels, 805 MB as RGB."""

MAX_STREAM = 512 << 20
"""The most bytes read from a pipe, which may never end."""

_BESIDE_PIXELS = 4 << 20  # bytes of metadata in a JPEG
_OPEN_LOCK = threading.Lock()


def read_image(
    source: ImageSource, *, max_pixels: int = MAX_PIXELS, before_decoding: Callable[[int, int], object] | None = None
) -> RGB:
    """Read an image from a path, encoded bytes, a binary stream, a PIL image or an array.

    An array is validated, and copied only if it is not contiguous. A PIL image is not modified. The module's docstring
    has the conventions for alpha, 16 bits, EXIF rotation and so on. `before_decoding` is called with the stored height
    and width when only the header has been read.

    Returns:
        uint8 RGB (H, W, 3), C-contiguous, in displayed orientation.

    Raises:
        ImageError: there is no such file; it is not an image, is damaged or truncated, or has more than `max_pixels`
            pixels; or its pixels cannot be converted to 8-bit RGB.
    """
    if isinstance(source, np.ndarray):
        return _checked(source)
    if isinstance(source, Image.Image):
        return _rgb(decoded(source, "the image").copy(), "the image")  # rotated in place, so not the caller's
    with _opened(source, max_pixels) as (image, name):
        if before_decoding:
            before_decoding(image.height, image.width)
        pixels = _whole_jpeg(image)
        return _rgb(decoded(image, name), name) if pixels is None else pixels


@contextmanager
def open_image(
    path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS, verify: bool = False
) -> Iterator[Image.Image]:
    """An image file of which only the header has been read, for its size or its stored values.

    `verify` checks the checksums of a PNG first: Pillow decodes damaged pixels as long as they unpack.

    Raises:
        ImageError: as `read_image`, or a checksum differs.
    """
    with _open_file(path) as file:
        if verify:
            _compare_checksums(file, _shown(path), max_pixels)
        yield _header(file, _shown(path), max_pixels)


def _checked(array: NDArray[Any]) -> RGB:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ImageError(f"an image is uint8 RGB (H, W, 3), but this array is {array.dtype} {array.shape}")
    return np.ascontiguousarray(array)


def _seekable(stream: BinaryIO) -> BinaryIO:
    """The stream itself, or the whole content of a pipe.

    Raises:
        ImageError: a pipe has more than MAX_STREAM bytes, or the stream cannot be read.
    """
    try:
        if stream.seekable():
            return stream
        content = stream.read(MAX_STREAM + 1)
    except (OSError, ValueError) as error:  # closed, for one
        raise ImageError(f"the image cannot be read from its stream: {error}") from error
    if len(content) > MAX_STREAM:
        raise ImageError(f"the pipe has more than {MAX_STREAM >> 20} MiB", "Give the image as a file.")
    return io.BytesIO(content)


def _shown(path: str | os.PathLike[str]) -> str:
    """A path for messages, shortened if it would hide the reason."""
    return printable(str(path), limit=1000)


def _open_file(path: str | os.PathLike[str]) -> BinaryIO:
    name = _shown(path)
    try:
        return open_regular(path)
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {name}") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is a folder, not an image") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot open {name}: {getattr(error, 'strerror', None) or error}") from error


def _compare_checksums(file: BinaryIO, name: str, max_pixels: int) -> None:
    image = _header(file, name, max_pixels)
    try:
        image.verify()
    except Exception as error:
        raise ImageError(f"{name} is damaged: {error}", AGAIN) from error
    file.seek(0)


@contextmanager
def _opened(source: str | os.PathLike[str] | bytes | BinaryIO, max_pixels: int) -> Iterator[tuple[Image.Image, str]]:
    """An encoded image whose header has been read, and its name for messages."""
    if isinstance(source, str | os.PathLike):
        with open_image(source, max_pixels=max_pixels) as image:
            yield image, _shown(source)
    elif isinstance(source, bytes):
        yield _header(io.BytesIO(source), "the image", max_pixels), "the image"
    elif not hasattr(source, "seekable") or hasattr(source, "encoding"):  # not a stream, or a text stream
        raise ImageError(
            f"an image is a path, bytes, a binary stream, a PIL image or array, not {type(source).__name__}"
        )
    else:
        name = str(getattr(source, "name", None) or "the image")  # temporary files have none
        yield _header(_seekable(source), name, max_pixels), name


def _header(stream: BinaryIO, name: str, max_pixels: int) -> Image.Image:
    try:
        with _no_pixel_limit():
            image = Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise not_an_image(stream, name) from error
    except Exception as error:  # Pillow raises almost anything on a damaged file: OSError, SyntaxError, ValueError, …
        raise ImageError(f"{name} is damaged: {error}", AGAIN) from error
    if (pixels := image.width * image.height) > max_pixels:
        raise ImageError(
            f"{name} has {image.width} x {image.height} pixels, more than {max_pixels} in total",
            f"If you trust it and have the memory: --max-pixels {pixels}",
        )
    return image


def decoded(image: Image.Image, name: str) -> Image.Image:
    """The image with its pixels loaded; `name` is for messages.

    Raises:
        ImageError: it is truncated or damaged, or does not fit in memory.
    """
    if image.format == "TIFF":
        _silence_libtiff()
    try:
        image.load()
    except MemoryError as error:
        raise ImageError(f"{name} with {image.width} x {image.height} pixels does not fit in memory") from error
    except Exception as error:
        raise ImageError(f"{name} is truncated or damaged: {error}", AGAIN) from error
    return image


def _whole_jpeg(image: Image.Image) -> RGB | None:
    """The pixels of an intact, upright JPEG; None if Pillow has to decode it."""
    if not isinstance(image, JpegImageFile) or image.mode not in ("RGB", "L") or not _is_upright(image):
        return None
    assert image.fp
    try:
        import simplejpeg  # may be missing on machines where nothing can be installed

        image.fp.seek(0)
        data = image.fp.read(3 * image.width * image.height + _BESIDE_PIXELS)  # anything may follow the image
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        return simplejpeg.decode_jpeg(data, "RGB", strict=True) if (width, height) == image.size else None
    except (ImportError, ValueError, MemoryError, OSError):
        return None


def _is_upright(image: Image.Image) -> bool:
    """Whether the EXIF orientation, if there is any, is valid and upright."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    except Exception:  # as in `_rgb`
        return False


@cache
def _silence_libtiff() -> None:
    """Stop Pillow's libtiff from writing to stderr: its errors are raised as exceptions too."""
    for library in (Path(PIL.__file__).parents[1] / "pillow.libs").glob("libtiff*.so*"):
        with suppress(OSError, AttributeError):
            tiff = ctypes.CDLL(str(library))
            tiff.TIFFSetErrorHandler(None)
            tiff.TIFFSetWarningHandler(None)


@contextmanager
def _no_pixel_limit() -> Iterator[None]:
    """Disable Pillow's process-wide pixel limit while a header is read: `max_pixels` is checked instead."""
    with _OPEN_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _rgb(image: Image.Image, name: str) -> RGB:
    """The pixels of a decoded image, which is modified."""
    with suppress(Exception):  # a damaged EXIF block raises almost anything
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):  # of 16 bits at most
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        kind = "integers" if image.mode == "I" else "floats"
        raise ImageError(f"the pixels of {name} are 32-bit {kind} of unknown range", "Convert it to 8-bit RGB first.")
    image.info.pop("transparency", None)  # dropped like alpha; Pillow would warn
    try:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except ValueError as error:
        raise ImageError(f"{name} cannot be converted to RGB: {error}", "Convert it to 8-bit RGB first.") from error
