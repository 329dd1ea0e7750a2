"""The two containers of torch.save, read as data: a zip archive, and the stream format before torch 1.6.

Both hold a pickle that describes the tensors, and the data of each storage.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import Any, BinaryIO

from semask_cli.checkpoints.pickles import read_pickle
from semask_cli.checkpoints.records import StorageRecord

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MAX_DIRECTORY = 64 << 20  # bytes of a zip's central directory; a large model with its optimizer takes 300 kB

_END_OF_DIRECTORY, _LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
_CHUNK = 16 << 20


@dataclass(frozen=True, slots=True)
class Region:
    """The place of a storage's data in the file, in bytes."""

    start: int
    size: int


class OtherArchiveError(Exception):
    """A zip archive, but not one of torch.save; `args[0]` describes it."""


def read_zip(file: BinaryIO, memory: mmap) -> tuple[Any, Mapping[str, Region]]:
    """The document of a torch.save archive, and the regions of its storages by key.

    Raises:
        OtherArchiveError: it is another kind of zip.
        UnsafePickleError, ValueError, zipfile.BadZipFile: as `read_pickle`; or damaged, or repacked.
    """
    _check_directory(memory)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if sum(member.compress_size for member in members) > len(memory):  # comparing their checksums could take days
        raise ValueError("its members overlap")
    regions = {}
    for member in members:
        if member.filename in regions:
            raise ValueError(f"two members called {member.filename!r:.100}")
        if not member.is_dir():
            regions[member.filename] = _checked_region(member, file, memory)
    pickles = [name for name in regions if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise OtherArchiveError("a zip archive, but not one of torch.save")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in regions:
        raise OtherArchiveError("a TorchScript program, not a set of tensors")
    order = regions.get(f"{folder}byteorder")
    if order and memory[order.start : order.start + order.size] != b"little":
        raise ValueError("its numbers are stored big end first")
    document = regions[pickles[0]]
    file.seek(document.start)
    value = read_pickle(file, size=document.start + document.size)
    prefix = f"{folder}data/"
    return value, {name.removeprefix(prefix): r for name, r in regions.items() if name.startswith(prefix)}


def read_legacy(file: BinaryIO, *, size: int, itemsizes: Mapping[str, int]) -> tuple[Any, Mapping[str, Region]]:
    """As `read_zip`, for the stream format before torch 1.6. `itemsizes` are bytes by storage type.

    Raises:
        UnsafePickleError, ValueError: as `read_pickle`; or a storage is not within the file.
    """
    if read_pickle(file, size=size) != LEGACY_MAGIC:
        raise ValueError("it does not begin as torch.save's files do")
    read_pickle(file, size=size)  # the protocol's version
    read_pickle(file, size=size)  # about the machine
    storages: dict[str, StorageRecord] = {}
    document = read_pickle(file, size=size, storages=storages)
    keys = read_pickle(file, size=size)
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise ValueError("its list of storages is not one")
    regions: dict[str, Region] = {}
    for key in keys:
        header = file.read(8)
        storage = storages[key]
        if len(header) < 8 or struct.unpack("<q", header)[0] != storage.numel:
            raise ValueError(f"the storage {key!r:.100} is another")
        regions[key] = Region(file.tell(), storage.numel * itemsizes[storage.name])
        if regions[key].start + regions[key].size > size:
            raise ValueError("it ends before its storages do")
        file.seek(regions[key].size, 1)
    return document, regions


def _check_directory(memory: mmap) -> None:
    """Raises ValueError if the central directory is far larger than torch ever writes."""
    end = memory.rfind(_END_OF_DIRECTORY, max(0, len(memory) - (1 << 16) - 22))
    if end < 0 or end + 22 > len(memory):
        raise ValueError("it has no end")
    length = struct.unpack_from("<I", memory, end + 12)[0]
    if memory[max(0, end - 20) : end - 16] == _LOCATOR:  # of a zip64 record: zipfile takes the one just before it
        records = struct.unpack_from("<Q", memory, end - 12)[0], end - 20 - 56
        lengths = [struct.unpack_from("<Q", memory, record + 40)[0] for record in records]
        length = max(lengths if length == 0xFFFFFFFF else [length, *lengths])
    if length > MAX_DIRECTORY:
        raise ValueError(f"its list of members takes {length} bytes")


def _checked_region(member: zipfile.ZipInfo, file: BinaryIO, memory: mmap) -> Region:
    """The region of a member, after its CRC-32 was verified.

    Raises:
        ValueError: it is compressed or encrypted, not within the file, or damaged.
    """
    name = f"{member.filename!r:.100}"
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise ValueError(f"its member {name} is compressed: another program has packed it again")
    header = memory[member.header_offset : member.header_offset + 30]
    if len(header) < 30 or header[:4] != b"PK\x03\x04" or member.file_size != member.compress_size:
        raise ValueError(f"its member {name} has no header")
    start = member.header_offset + 30 + sum(struct.unpack("<HH", header[26:]))
    stop = start + member.file_size
    if stop > len(memory):
        raise ValueError(f"its member {name} is cut off")
    file.seek(start)  # read, not mapped: members that are not used must not stay in memory
    crc = 0
    for at in range(start, stop, _CHUNK):
        crc = zlib.crc32(file.read(min(_CHUNK, stop - at)), crc)
    if crc != member.CRC:
        raise ValueError(f"its member {name} is damaged: the checksum is another")
    return Region(start, member.file_size)
