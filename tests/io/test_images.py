"""Every kind of image a user may hand over has one decided outcome, built here byte by byte."""

from __future__ import annotations

import contextlib
import io
import os
import random
import subprocess
import sys
import tempfile
import threading
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from semask_cli.errors import ImageError
from semask_cli.io.image_formats import IMAGE_SUFFIXES, is_image_path
from semask_cli.io.images import read_image
from tests.faults.case import mutate

ORIENTATION = 0x0112


def photo(height: int = 40, width: int = 60) -> np.ndarray:
    """Gradients and a noisy square: smooth and hard parts, no symmetry. uint8 (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), (x + y) % 256], -1).astype(np.uint8)
    noise = np.random.RandomState(0).randint(0, 256, image[5:20, 10:30].shape)
    image[5:20, 10:30] = noise
    return image


def encode(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def opencv(data: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


ENCODED = {
    "jpeg": encode(photo(), "JPEG"),
    "jpeg-progressive": encode(photo(), "JPEG", progressive=True),
    "png": encode(photo(), "PNG"),
    "png-palette": encode(Image.fromarray(photo()).quantize(40), "PNG"),
    "webp": encode(photo(), "WEBP"),
    "webp-lossless": encode(photo(), "WEBP", lossless=True),
    "gif": encode(Image.fromarray(photo()).quantize(40), "GIF"),
    "bmp": encode(photo(), "BMP"),
    "tiff": encode(photo(), "TIFF"),
    "tiff-lzw": encode(photo(), "TIFF", compression="tiff_lzw"),
    "avif": encode(photo(), "AVIF"),
    "ppm": encode(photo(), "PPM"),
}


# -- sources


def test_sources_of_one_image_give_one_array(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(ENCODED["png"])
    pil = Image.open(path)
    for source in (path, str(path), ENCODED["png"], io.BytesIO(ENCODED["png"]), pil, photo()):
        image = read_image(source)
        np.testing.assert_array_equal(image, photo())
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert image.flags.writeable


def test_a_stream_without_a_name_is_the_image() -> None:
    with tempfile.SpooledTemporaryFile() as stream:  # as web servers hand over what is uploaded
        stream.write(b"not an image")
        stream.seek(0)
        with pytest.raises(ImageError, match=r"^the image is text"):
            read_image(stream)


def test_pipe_is_read_to_its_end() -> None:
    read_end, write_end = os.pipe()
    data = encode(np.random.RandomState(1).randint(0, 256, (300, 300, 3), np.uint8), "PNG")  # more than a pipe holds

    def feed() -> None:
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(data)

    writer = threading.Thread(target=feed)
    writer.start()
    with os.fdopen(read_end, "rb") as pipe:
        image = read_image(pipe)
    writer.join()
    np.testing.assert_array_equal(image, opencv(data))


def test_array_is_passed_through_and_made_contiguous() -> None:
    image = photo()
    assert read_image(image) is image
    mirrored = read_image(image[:, ::-1])
    assert mirrored.flags.c_contiguous
    np.testing.assert_array_equal(mirrored, image[:, ::-1])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_array_of_another_kind_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"uint8 RGB \(H, W, 3\)"):
        read_image(array)


@pytest.mark.parametrize("source", [None, 3, ["one.png"], bytearray(b"x"), io.StringIO("x")])
def test_what_can_hold_no_image_is_told(source: Any) -> None:
    with pytest.raises(ImageError, match=f"an image is a path, .*, not {type(source).__name__}"):
        read_image(source)


def test_a_closed_stream_is_told() -> None:
    (stream := io.BytesIO(b"x")).close()
    with pytest.raises(ImageError, match="cannot be read from its stream"):
        read_image(stream)


def test_pil_image_is_left_as_it_is() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pil = Image.open(io.BytesIO(encode(Image.fromarray(photo()).quantize(9), "PNG", exif=exif, transparency=3)))
    upright = read_image(pil)
    assert upright.shape == (60, 40, 3)
    assert pil.size == (60, 40)
    assert pil.mode == "P"
    assert pil.getexif()[ORIENTATION] == 6
    assert pil.info["transparency"] == 3


# -- pixels


@pytest.mark.parametrize("name", sorted(ENCODED.keys() - {"gif", "avif"}))  # which OpenCV 4.11 cannot read
def test_pixels_equal_opencv(name: str) -> None:
    np.testing.assert_array_equal(read_image(ENCODED[name]), opencv(ENCODED[name]))


@given(
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    seed=st.integers(0, 99),
    quality=st.sampled_from((20, 75, 95)),
    subsampling=st.sampled_from((0, 1, 2)),
    progressive=st.booleans(),
    grey=st.booleans(),
)
def test_jpeg_pixels_equal_opencv(
    size: tuple[int, int], seed: int, quality: int, subsampling: int, progressive: bool, grey: bool
) -> None:
    blocks = np.random.RandomState(seed).randint(0, 256, (*size, 3), np.uint8)
    smooth = Image.fromarray(cv2.GaussianBlur(blocks, (5, 5), 0)).convert("L" if grey else "RGB")
    data = encode(smooth, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    np.testing.assert_array_equal(read_image(data), opencv(data))


def test_grey_bilevel_and_alpha_keep_their_stored_values() -> None:
    rgb = Image.fromarray(photo())
    grey = np.asarray(rgb.convert("L"))
    alpha = Image.fromarray(np.random.RandomState(2).randint(0, 256, grey.shape, np.uint8))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    np.testing.assert_array_equal(read_image(encode(grey, "PNG")), np.stack([grey] * 3, -1))
    np.testing.assert_array_equal(read_image(encode(rgba, "PNG")), photo())
    np.testing.assert_array_equal(
        read_image(encode(Image.merge("LA", (Image.fromarray(grey), alpha)), "PNG"))[..., 1], grey
    )
    bilevel = rgb.convert("1")
    np.testing.assert_array_equal(read_image(encode(bilevel, "PNG"))[..., 0], np.asarray(bilevel) * np.uint8(255))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("transparency", [2, bytes(range(40))], ids=["one-index", "alpha-table"])
def test_palette_transparency_is_dropped_silently(transparency: int | bytes) -> None:
    palette = Image.fromarray(photo()).quantize(40)
    data = encode(palette, "PNG", transparency=transparency)
    np.testing.assert_array_equal(read_image(data), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("ending", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_the_high_byte(ending: str, channels: int) -> None:
    deep = np.random.RandomState(3).randint(0, 2**16, (7, 9, channels)).astype(np.uint16)
    data = cv2.imencode(ending, deep)[1].tobytes()
    expected = np.repeat(deep, 3, -1) if channels == 1 else deep[..., 2::-1]  # OpenCV writes BGR
    np.testing.assert_array_equal(read_image(data), expected >> 8)


def test_sixteen_bit_big_endian_tiff_with_orientation() -> None:
    deep = (np.arange(6).reshape(2, 3) << 8).astype(">u2")
    tiff = encode(Image.frombytes("I;16B", (3, 2), deep.tobytes()), "TIFF", tiffinfo={ORIENTATION: 3})
    np.testing.assert_array_equal(read_image(tiff)[..., 0], [[5, 4, 3], [2, 1, 0]])


@pytest.mark.parametrize(("mode", "word"), [("F", "floats"), ("I", "integers")])
def test_thirty_two_bits_are_refused(mode: str, word: str) -> None:
    with pytest.raises(ImageError, match=f"32-bit {word}"):
        read_image(encode(Image.new(mode, (3, 2)), "TIFF"))


def test_cmyk_and_ycck_jpeg_by_adobes_convention() -> None:
    corners = np.array([[[255, 0, 0], [0, 0, 255]], [[255, 255, 255], [0, 0, 0]]], np.uint8)
    colours = np.kron(corners, np.ones((16, 16, 1), np.uint8))
    cmyk = encode(Image.fromarray(colours).convert("CMYK"), "JPEG", quality=95)
    transform = cmyk.index(b"Adobe") + 11  # the marker's last byte: 0 is CMYK, 2 is YCCK
    assert cmyk[transform] == 0
    assert np.abs(read_image(cmyk).astype(int) - colours).max() <= 8

    # Inks are stored inverted, and Pillow writes each channel as 255 - value: Y, Cb, Cr of the inks, and no black.
    inks = np.asarray(Image.fromarray(255 - colours).convert("YCbCr"))
    channels = np.dstack([255 - inks, np.zeros_like(inks[..., 0])])
    ycck = bytearray(encode(Image.frombytes("CMYK", (32, 32), channels.tobytes()), "JPEG", quality=95))
    ycck[transform] = 2
    assert np.abs(read_image(bytes(ycck)).astype(int) - colours).max() <= 8
    assert np.abs(read_image(bytes(ycck)).astype(int) - opencv(bytes(ycck))).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_first_frame_counts(kind: str) -> None:
    first, second = Image.new("RGB", (8, 5), (255, 0, 0)), Image.new("RGB", (8, 5), (0, 0, 255))
    animation = encode(first, kind, save_all=True, append_images=[second])
    assert Image.open(io.BytesIO(animation)).n_frames == 2
    image = read_image(animation)
    assert image.shape == (5, 8, 3)
    assert image[..., 0].min() >= 250
    assert image[..., 2].max() <= 5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    stored = np.kron([[1, 2, 3], [4, 5, 6]], np.ones((16, 16))).astype(np.uint8) * 40
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.T,
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].T,
        8: np.rot90(stored),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = read_image(encode(np.stack([stored] * 3, -1), kind, exif=exif))
    assert image.shape[:2] == upright.shape
    assert np.abs(image[..., 0].astype(int) - upright).max() <= 8
    assert image.flags.c_contiguous


@pytest.mark.parametrize(
    "block", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12"]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_is_ignored(block: bytes) -> None:
    np.testing.assert_array_equal(read_image(encode(photo(), "JPEG", exif=block)), opencv(ENCODED["jpeg"]))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_tiny_and_thin_images(size: tuple[int, int], kind: str) -> None:
    data = encode(photo(*size), kind)
    np.testing.assert_array_equal(read_image(data), opencv(data))


# -- files that are not what they seem


@settings(max_examples=300)
@given(name=st.sampled_from(sorted(ENCODED)), share=st.floats(0, 1, exclude_max=True))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_truncated_image_is_refused_or_whole(name: str, share: float) -> None:
    """Never grey garbage: a prefix either fails or, lacking only end markers, gives every pixel."""
    whole = ENCODED[name]
    try:
        image = read_image(whole[: int(len(whole) * share)])
    except ImageError:
        return
    np.testing.assert_array_equal(image, read_image(whole))


@pytest.mark.parametrize("name", ["jpeg", "jpeg-progressive", "png", "webp", "tiff"])
def test_half_an_image_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"half.{name}"
    path.write_bytes(ENCODED[name][: len(ENCODED[name]) // 2])
    with pytest.raises(ImageError, match=rf"half\.{name} is (truncated or damaged|damaged|no image)"):
        read_image(path)


@given(name=st.sampled_from(sorted(ENCODED)), position=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_image_raises_nothing_but_image_errors(name: str, position: float, value: int) -> None:
    data = bytearray(ENCODED[name])
    data[int(len(data) * position)] = value
    try:
        image = read_image(bytes(data))
    except ImageError:
        return
    assert image.dtype == np.uint8


def jpeg(**parameters: int) -> bytes:
    """A JPEG with what Pillow does not write: the names are those of OpenCV's parameters, after IMWRITE_JPEG_."""
    numbers = [n for name, value in parameters.items() for n in (getattr(cv2, f"IMWRITE_JPEG_{name}"), value)]
    return cv2.imencode(".jpg", photo(37, 53), numbers)[1].tobytes()


JPEGS = {
    "444": encode(photo(37, 53), "JPEG", subsampling=0, optimize=True),
    "422": encode(photo(37, 53), "JPEG", subsampling=1, icc_profile=b"profile" * 20_000),
    "420": encode(photo(37, 53), "JPEG", subsampling=2, exif=b"Exif\0\0garbage"),
    "411, restarts": jpeg(RST_INTERVAL=1, SAMPLING_FACTOR=cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411),
    "440, restarts": jpeg(RST_INTERVAL=3, SAMPLING_FACTOR=cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440),
    "progressive": encode(photo(37, 53), "JPEG", progressive=True),
    "progressive, restarts": jpeg(RST_INTERVAL=2, PROGRESSIVE=1),
    "grey": encode(photo(37, 53)[..., 0], "JPEG"),
    "grey, progressive": encode(photo(37, 53)[..., 0], "JPEG", progressive=True),
    "stored as RGB": encode(photo(37, 53), "JPEG", keep_rgb=True),
    "CMYK": encode(Image.fromarray(photo(37, 53)).convert("CMYK"), "JPEG"),
    "something behind": encode(photo(37, 53), "JPEG") + b"something",
}


def pillow_alone(data: bytes, *, max_pixels: int) -> np.ndarray | None:
    """What Pillow makes of a JPEG; None where it refuses it."""
    try:
        image = Image.open(io.BytesIO(data))
        return np.array(image.convert("RGB")) if image.width * image.height <= max_pixels else None
    except Exception:
        return None


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_jpegs_are_what_pillow_makes_of_them(name: str) -> None:
    """Refused where it refuses them, else with its pixels, whoever decodes them."""
    draw, read = random.Random(name), 0
    for _ in range(200):
        data, _ = mutate(draw, JPEGS[name])
        expected = pillow_alone(data, max_pixels=10**5)
        try:
            image = read_image(data, max_pixels=10**5)
        except ImageError:
            assert expected is None
        else:
            np.testing.assert_array_equal(image, expected)
            read += 1
    assert 10 < read < 190


@pytest.mark.parametrize("name", sorted(JPEGS.keys() - {"CMYK", "420"}))  # "420" has an EXIF block that is none
def test_whole_jpegs_are_not_pillows_to_decode(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = pillow_alone(JPEGS[name], max_pixels=10**5)
    monkeypatch.setattr(JpegImageFile, "load", lambda image: pytest.fail("Pillow decodes it"))
    np.testing.assert_array_equal(read_image(JPEGS[name]), expected)


def test_content_decides_not_the_ending(tmp_path: Path) -> None:
    for ending in (".jpg", ".txt", ""):
        path = tmp_path / f"misnamed{ending}"
        path.write_bytes(ENCODED["png"])
        np.testing.assert_array_equal(read_image(path), photo())


@pytest.mark.parametrize("name", ["[a].png", "a b (1)#?*.png", "été 写真 🐈.png", "-", "%s.png"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(ENCODED["png"])
    np.testing.assert_array_equal(read_image(path), photo())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>\n<html><body>Quota exceeded</body></html>", "a web page"),
        (b"\n <HTML lang='en'>", "a web page"),
        ("name,größe\n1,2\n".encode() * 200, "is text"),
        (b"%PDF-1.7\n\xe2\xe3", "a PDF"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "an SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "not an image"),
        (b"\x89PNG", "is not an image"),
        (b"II*\0\xff\0\0\0", "a TIFF whose bands or number type Pillow does not read"),
        (bytes(range(256)) * 9, "is not an image"),
    ],
)
def test_what_is_not_an_image(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "file.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"file.jpg.*{said}"):
        read_image(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"there is no file .*none\.jpg"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="cannot open"):
        read_image("a\0b.jpg")
    with pytest.raises(ImageError, match="cannot open"):
        read_image(tmp_path / ("n" * 300))
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"cannot open .*: Not a directory"):
        read_image(tmp_path / "file" / "a.jpg")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(ENCODED["png"])
    path.chmod(0)
    with pytest.raises(ImageError, match=r"secret\.png: Permission denied"):
        read_image(path)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes((8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_decompression_bombs() -> None:
    with pytest.raises(ImageError, match="60000 x 50000 pixels, more than 268435456") as caught:
        read_image(png_header(60000, 50000))
    assert "--max-pixels 3000000000" in caught.value.suggestion
    with pytest.raises(ImageError, match="60 x 40 pixels, more than 2399"):
        read_image(ENCODED["png"], max_pixels=60 * 40 - 1)
    assert read_image(ENCODED["png"], max_pixels=60 * 40).shape == (40, 60, 3)


@pytest.mark.filterwarnings("error")
def test_pillows_own_limit_neither_holds_nor_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(ENCODED["png"]).shape == (40, 60, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


# -- scans of folders


def test_image_suffixes() -> None:
    assert is_image_path(Path("a/B.JPG"))
    assert not is_image_path(Path("a/notes.txt"))
    assert all(s.startswith(".") and s == s.lower() for s in IMAGE_SUFFIXES)


# -- what is no file, and what never ends


def test_a_named_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(ImageError, match="it is a pipe or a device, not a file"):
            read_image(path)


def test_a_pipe_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semask_cli.io.images.MAX_STREAM", 1 << 20)
    read_end, write_end = os.pipe()
    writer = threading.Thread(target=endless, args=(write_end,), daemon=True)
    writer.start()
    with open(read_end, "rb") as stream, pytest.raises(ImageError, match="more than 1 MiB"):
        read_image(stream)
    writer.join(10)
    assert not writer.is_alive()


def endless(descriptor: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        while True:
            os.write(descriptor, bytes(1 << 16))


DAMAGED_TIFFS = """
import contextlib, io, logging, random, sys
from semask_cli.io.images import read_image
logging.getLogger("PIL").addHandler(logging.NullHandler())  # Pillow's own words, which a program can silence
data = open(sys.argv[1], "rb").read()
for seed in range(40):
    draw, damaged = random.Random(seed), bytearray(data)
    for _ in range(3):
        damaged[draw.randrange(len(data))] = draw.randrange(256)
    with contextlib.suppress(Exception):
        read_image(bytes(damaged))
"""


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_libtiff_writes_nothing_by_itself(tmp_path: Path, compression: str) -> None:
    """Its lines went to stderr past every filter of Python's: "tempfile.tif: Using code not yet in table"."""
    Image.fromarray(photo()).save(tmp_path / "whole.tif", "TIFF", compression=compression)
    command = [sys.executable, "-W", "ignore", "-c", DAMAGED_TIFFS, str(tmp_path / "whole.tif")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


@pytest.mark.parametrize("most", [65535, 4095])
def test_a_grey_map_of_sixteen_bits_becomes_eight(most: int) -> None:
    values = np.random.default_rng(0).integers(0, most + 1, (5, 7))
    stored = f"P5 7 5 {most}\n".encode() + values.astype(">u2").tobytes()
    np.testing.assert_array_equal(read_image(stored)[..., 1], np.rint(values * (65535 / most)).astype(int) >> 8)
