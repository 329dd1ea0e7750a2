"""torch.save's zip archive: what was packed again, changed or cut is refused, since nothing else would notice it."""

from __future__ import annotations

import copy
import io
import pickle
import random
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from semask_cli.checkpoints.reading import read
from semask_cli.errors import CheckpointError, DamagedCheckpointError, NotACheckpointError

TENSORS = {f"layer{i}": torch.arange(1000.0) * i for i in range(4)}


@pytest.fixture
def archive() -> bytes:
    torch.save({"state_dict": TENSORS}, buffer := io.BytesIO())
    return buffer.getvalue()


def packed_again(data: bytes, compression: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer := io.BytesIO(), "w", compression) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return buffer.getvalue()


def test_a_compressed_archive_is_refused(archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(packed_again(archive, zipfile.ZIP_DEFLATED))
    with pytest.raises(DamagedCheckpointError, match="is compressed: another program has packed it again"):
        read(path)


def test_an_archive_that_is_packed_again_without_compression_is_read(archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(packed_again(archive, zipfile.ZIP_STORED))
    assert all(torch.equal(tensor, TENSORS[name]) for name, tensor in read(path).tensors.items())


def test_no_changed_bit_of_a_number_is_accepted(archive: bytes, tmp_path: Path) -> None:
    """Every member has a checksum; a mapped file is never looked at by torch itself."""
    path, generator = tmp_path / "file.pth", random.Random(0)
    for _ in range(200):
        at, bit = generator.randrange(len(archive)), generator.randrange(8)
        data = bytearray(archive)
        data[at] ^= 1 << bit
        path.write_bytes(data)
        try:
            tensors = read(path).tensors
        except CheckpointError:
            continue
        # A bit of padding, or of a date: nothing that is read.
        assert all(torch.equal(tensor, TENSORS[name]) for name, tensor in tensors.items()), (at, bit)


def test_other_zips(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(NotACheckpointError, match="a zip archive, but not one"):
        read(path)


@pytest.mark.parametrize("zip64", [False, True])
def test_a_directory_of_members_that_takes_much_memory(archive: bytes, tmp_path: Path, zip64: bool) -> None:
    """In zip64 what zipfile believes is beside the length that is small."""
    path = tmp_path / "file.pth"
    end, large = archive.rfind(b"PK\x05\x06"), 1 << 30
    if zip64:
        record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, large, 0)
        path.write_bytes(archive[:end] + record + struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1) + archive[end:])
    else:
        path.write_bytes(archive[: end + 12] + large.to_bytes(4, "little") + archive[end + 16 :])
    with pytest.raises(DamagedCheckpointError, match="list of members takes 1073741824 bytes"):
        read(path)


def test_members_that_overlap_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """A small file would be read a million times over."""
    path = tmp_path / "file.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/data/0", bytes(1_000))
        [_, first] = archive.filelist
        for number in range(1, 10):
            archive.filelist.append(other := copy.copy(first))
            other.filename = f"a/data/{number}"
    with pytest.raises(DamagedCheckpointError, match="its members overlap"):
        read(path)
