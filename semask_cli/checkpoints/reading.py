"""Reading a checkpoint file as data: nothing in it is ever executed.

Three formats, distinguished by content: torch.save (a zip, or the stream before 1.6), safetensors, and detectron2's
.pkl, plain pickles of NumPy arrays. Pickles are read by an interpreter that builds inert records (`pickles.py`), of
which only the weights become tensors (`tensors.py`). There is no fallback to Python's unpickler.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import Any, BinaryIO

from safetensors.torch import load_file
from torch import Tensor

from semask_cli.checkpoints.archives import OtherArchiveError, Region, read_legacy, read_zip
from semask_cli.checkpoints.pickles import UnsafePickleError, read_pickle
from semask_cli.checkpoints.records import ArrayRecord, OtherTensorRecord, TensorRecord
from semask_cli.checkpoints.tensors import ITEMSIZES, tensor_of_array, tensor_of_record
from semask_cli.errors import (
    CheckpointError,
    DamagedCheckpointError,
    NotACheckpointError,
    TensorShapeError,
    UnsafeCheckpointError,
    printable,
)
from semask_cli.io.regular import open_regular

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
# LEGACY_MAGIC of archives.py, pickled: LONG1 of ten bytes.
_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_MAX_SAFETENSORS_HEADER = 100_000_000  # bytes, the format's own limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The tensors of a file by their published names, on the CPU, and its class names, if any.

    `sha256` is the file's digest, empty unless requested.
    """

    tensors: dict[str, Tensor]
    classes: tuple[str, ...] | None
    sha256: str = ""


def read(path: Path, *, verify: Callable[[str], None] | None = None) -> Checkpoint:
    """Read a .pth, .pkl or .safetensors file of any origin.

    Tensors are memory-mapped if possible, so that an optimizer's state is not read. The "state_dict" of MMSegmentation
    and the "model" of detectron2 are unwrapped, and a "module." prefix of all names is dropped. `verify` is called with
    the file's SHA-256 before anything is parsed, and may raise; the file must not change in between.

    Raises:
        UnsafeCheckpointError: the pickle refers to anything else than tensors and arrays; nothing was executed.
        DamagedCheckpointError: a truncated or corrupt file.
        NotACheckpointError: text, a web page, an empty file, a file without tensors.
        TensorShapeError: a tensor is sparse, quantized or otherwise unsuitable as a weight.
        CheckpointError: the file cannot be read.
    """
    with _opened(path) as file:
        digest = ""
        if verify is not None:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            verify(digest)
            file.seek(0)
        try:
            document, tensor_of = _load(path, file)
            tensors, classes = _unwrapped(document, tensor_of) if isinstance(document, Mapping) else ({}, None)
        except CheckpointError:
            raise
        except UnsafePickleError as error:
            raise _unsafe(path, error.args[0]) from None
        except OtherArchiveError as error:
            raise NotACheckpointError(f"{path} is {error}") from None
        except Exception as error:  # a corrupt archive or pickle can raise anything
            reason = printable(str(error).partition("\n")[0]) or type(error).__name__
            raise DamagedCheckpointError(
                f"{path} is damaged or incomplete: {reason}", "Delete it and download it again."
            ) from error
    if not isinstance(document, Mapping):
        raise NotACheckpointError(f"{path} holds one {type(document).__name__}, not a set of tensors")
    if not tensors:
        raise NotACheckpointError(f"{path} holds no tensors")
    return Checkpoint(tensors=tensors, classes=classes, sha256=digest)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, which must not change within the block."""
    try:
        with open_regular(path) as file:
            before = os.fstat(file.fileno())
            yield file
            after = path.stat()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    if any(getattr(before, key) != getattr(after, key) for key in ("st_ino", "st_dev", "st_size", "st_mtime_ns")):
        raise CheckpointError(f"{path} changed while it was read", "Try again.")


_TensorOf = Callable[[Any], Tensor]


def _load(path: Path, file: BinaryIO) -> tuple[object, _TensorOf]:
    """The document of a file, and the function that makes a tensor of a record in it."""
    head = file.read(512)
    file.seek(0)
    size = os.fstat(file.fileno()).st_size
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER:
        return load_file(path), lambda tensor: tensor
    if head.startswith(_PICKLE) and not head.startswith(_LEGACY_TORCH):
        return read_pickle(file, size=size), lambda record: _tensor(record, {}, None)
    if not head.startswith((_ZIP, _LEGACY_TORCH)):
        raise _another_kind(path, head)
    memory = mmap(file.fileno(), 0, access=ACCESS_COPY)  # torch needs writable memory; nothing is written
    if head.startswith(_ZIP):
        document, regions = read_zip(file, memory)
    else:
        document, regions = read_legacy(file, size=size, itemsizes=ITEMSIZES)
    return document, lambda record: _tensor(record, regions, memory)


def _tensor(record: object, regions: Mapping[str, Region], memory: mmap | None) -> Tensor:
    if isinstance(record, ArrayRecord):
        return tensor_of_array(record)
    if isinstance(record, TensorRecord) and memory is not None:
        return tensor_of_record(record, regions, memory)
    raise ValueError("a tensor without data")


def _unsafe(path: Path, name: str) -> UnsafeCheckpointError:
    return UnsafeCheckpointError(
        f"{path} was refused: its pickle refers to {printable(name)}, but a checkpoint needs only tensors",
        "Nothing was executed. Download the file again from its publisher; do not open it with other tools.",
    )


def _another_kind(path: Path, head: bytes) -> NotACheckpointError:
    advice = "Checkpoints are .pth, .pkl or .safetensors files."
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        kind = "a web page"
        advice = "The browser saved a page about the file: open it, press Download, and use the downloaded file."
    elif head:
        kind = "of an unknown format" if b"\0" in head else "text"
    else:
        kind = "empty"
    return NotACheckpointError(f"{path} is not a checkpoint: it is {kind}", advice)


def _unwrapped(document: Mapping[Any, Any], tensor_of: _TensorOf) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """The tensors of the document's state by name, and its class names."""
    nested = (document.get(key) for key in ("state_dict", "model"))
    state = next((inner for inner in nested if isinstance(inner, Mapping)), document)
    tensors = {}
    for name, record in state.items():
        if isinstance(record, OtherTensorRecord):
            raise TensorShapeError(f"the tensor {printable(str(name))} is {record.kind}, which weights never are")
        if isinstance(record, TensorRecord | ArrayRecord | Tensor):
            try:
                tensors[str(name)] = tensor_of(record)
            except ValueError as error:
                raise ValueError(f"{printable(str(name))}: {error}") from error
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    meta = document.get("meta")
    classes = meta.get("CLASSES") if isinstance(meta, Mapping) else None
    return tensors, tuple(map(str, classes)) if isinstance(classes, list | tuple) else None
