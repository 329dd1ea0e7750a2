"""Label files of every kind that may lie where a label belongs: read right, or refused by name."""

import io
import os
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from semask_cli.datasets import classes, read_labels, read_values
from semask_cli.datasets.labels import LabelValueError, mask_size, read_instance_ids
from semask_cli.errors import DatasetError
from semask_cli.evaluation.cityscapes import instances
from tests.support import miniature

CITYSCAPES = classes("cityscapes")
LABEL_IDS = CITYSCAPES.encodings["labelIds"]


@pytest.fixture
def label(tmp_path):
    path = tmp_path / "label.png"
    miniature.save(path, np.arange(48, dtype=np.uint8).reshape(6, 8) % 19)
    return path


def readings(path, content, *, start=0):
    """The values read, or None where refused by name, after each bit of `content` from byte `start` on has flipped."""
    for at in range(start * 8, len(content) * 8):
        damaged = bytearray(content)
        damaged[at // 8] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            values = read_values(path)
        except DatasetError as error:
            values = None if path.name in error.message else "a refusal that names no file"
        yield values


def test_no_bit_of_a_png_can_flip_unnoticed(label):
    values = read_values(label)
    accepted = [found for found in readings(label, label.read_bytes()) if found is not None]
    assert all(np.array_equal(found, values) for found in accepted)
    assert len(accepted) <= 64  # the length and the checksum of the empty chunk at the end


def test_a_label_starts_no_other_program(label, monkeypatch):
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(label, "EPS")

    def fail(*arguments, **options):
        raise AssertionError("a program was started")

    for name in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, fail)
    for read in (read_values, mask_size):
        with pytest.raises(DatasetError, match=r"label\.png"):
            read(label)


def grey_png(width, height, pixels, *, bits=8):
    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = size + bytes((bits, 0, 0, 0, 0))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_labels_have_the_pixel_limit_of_images(label):
    label.write_bytes(grey_png(20_000, 20_000, bytes(1000)))
    for read in (read_values, mask_size):
        with pytest.raises(DatasetError, match="20000 x 20000 pixels, more than 268435456"):
            read(label)
    label.write_bytes(grey_png(20_000, 10_000, bytes(1000)))  # Pillow by itself refuses more than 179 million
    assert mask_size(label) == (10_000, 20_000)


@pytest.mark.parametrize("bits", [2, 4])
def test_classes_of_less_than_8_bits_are_not_read_as_parts_of_255(label, bits):
    label.write_bytes(grey_png(8, 1, b"\0" + bytes(bits), bits=bits))
    for read in (read_values, mask_size):
        with pytest.raises(DatasetError, match=r"label\.png has less than 8 bits per pixel"):
            read(label)
    label.write_bytes(grey_png(8, 1, b"\0\x81", bits=1))  # two classes, as everyone reads them
    assert read_values(label).tolist() == [[1, 0, 0, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize("name", ["label.png", "label.mat"])
def test_what_is_no_file_is_refused_at_once(tmp_path, name):
    path = tmp_path / name
    for plant, words in (
        (lambda: None, r"label\.(png|mat)"),
        (path.mkdir, r"folder|Is a directory"),
        (lambda: os.mkfifo(path), "pipe"),
        (lambda: path.symlink_to("/dev/zero"), "device"),
        (lambda: path.symlink_to(path), "symbolic links"),
    ):
        plant()
        with pytest.raises(DatasetError, match=words):
            read_values(path)
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def mat(**variables):
    packed = variables.pop("packed", False)
    savemat(buffer := io.BytesIO(), variables, do_compression=packed)
    return buffer.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32])
def test_whole_numbers_of_any_size_are_read_from_a_mat_file(tmp_path, packed, kind):
    values = np.arange(12, dtype=kind).reshape(3, 4)
    path = tmp_path / "label.mat"
    path.write_bytes(mat(names=np.array(["wall", "sky"], object), S=values, packed=packed))
    np.testing.assert_array_equal(read_values(path), values)
    assert mask_size(path) == (3, 4)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        np.full((3, 4), 0.5),
        np.zeros((3, 4)),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((0, 0), np.uint8),
        np.zeros((3, 4), complex),
        np.full((3, 4), "cell", object),
        "words",
        {"S": 1},
    ],
)
def test_other_arrays_in_a_mat_file_are_refused(tmp_path, packed, value):
    path = tmp_path / "label.mat"
    path.write_bytes(mat(S=value, packed=packed))
    with pytest.raises(DatasetError, match=r"cannot read .*label\.mat"):
        read_values(path)


def test_no_bit_of_a_packed_mat_file_can_flip_unnoticed(tmp_path):
    path, values = tmp_path / "label.mat", np.arange(48, dtype=np.uint8).reshape(6, 8)
    found = list(readings(path, mat(S=values, packed=True), start=128))
    assert all(np.array_equal(one, values) for one in found if one is not None)
    assert None in found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text, no array",
        b"\0" * 200,
        mat(T=np.zeros((3, 4), np.uint8)),
        mat(S=np.zeros((3, 4), np.uint8))[:-9],
        mat(S=np.zeros((99, 99), np.uint8), packed=True)[:-9],
        mat(S=np.zeros((99, 99), np.uint8), packed=True)[:160] + b"\xff" * 60,
    ],
)
def test_damaged_mat_files_are_refused(tmp_path, content):
    path = tmp_path / "label.mat"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"cannot read .*label\.mat"):
        read_values(path)


def test_a_small_mat_file_does_not_unpack_to_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr("semask_cli.datasets.mat_files._MAX_BYTES", 1 << 20)
    path = tmp_path / "label.mat"
    path.write_bytes(mat(S=np.zeros((2000, 2000), np.uint8), packed=True))
    assert path.stat().st_size < 20_000
    with pytest.raises(DatasetError, match="unpacks to more than a label"):
        read_values(path)


def test_instance_ids_are_of_the_size_and_the_classes_of_their_label(tmp_path):
    path = tmp_path / "ids.png"
    ids = np.full((4, 5), 26, np.int32)
    ids[0, :3] = (26_001, 24_999, 3000)  # two objects, and one whose label is ignored
    miniature.save(path, ids)
    found = read_instance_ids(path, LABEL_IDS, (4, 5))
    predicted = np.full((4, 5), 13, np.uint8)
    assert [(i.label, i.pixels, i.right) for i in instances(found, predicted, CITYSCAPES)] == [(11, 1, 0), (13, 1, 1)]
    with pytest.raises(DatasetError, match=r"ids\.png is 5 x 4, but its label is 5 x 5"):
        read_instance_ids(path, LABEL_IDS, (5, 5))
    for value in (34_000, 60_001, 65_535):
        ids[1, 1] = value
        miniature.save(path, ids)
        with pytest.raises(LabelValueError, match=str(value)):
            read_instance_ids(path, LABEL_IDS, (4, 5))
    Image.fromarray(np.full((4, 5), 2**30, np.int32)).save(path, "TIFF")
    with pytest.raises(LabelValueError, match=str(2**30)):
        read_instance_ids(path, LABEL_IDS, (4, 5))


def test_grey_tiffs_and_bitmaps_are_labels_too(label):
    values = read_labels(label, CITYSCAPES.encodings["trainIds"])
    for kind in ("TIFF", "BMP"):
        Image.fromarray(values).save(label, kind)
        np.testing.assert_array_equal(read_labels(label, CITYSCAPES.encodings["trainIds"]), values)
