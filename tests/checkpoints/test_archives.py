"""torch.save's zip archive: what was packed again, changed or cut is refused, since nothing else would notice it."""

from __future__ import annotations

import io
import random
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


def test_a_directory_of_members_that_takes_much_memory(archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    end = archive.rfind(b"PK\x05\x06")
    path.write_bytes(archive[: end + 12] + (1 << 30).to_bytes(4, "little") + archive[end + 16 :])
    with pytest.raises(DamagedCheckpointError, match="list of members takes 1073741824 bytes"):
        read(path)
