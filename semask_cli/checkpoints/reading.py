"""Opening a checkpoint file without executing anything in it.

Three formats, told apart by content: torch.save (zip, or the stream of before 1.6), safetensors, and the plain pickles
of NumPy arrays that detectron2 writes as .pkl. A torch file is only ever opened with `weights_only=True`, a plain
pickle by an unpickler that knows NumPy's arrays and nothing else; there is no fallback.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from semask_cli.errors import CheckpointError, DamagedCheckpointError, NotACheckpointError, UnsafeCheckpointError

# What NumPy 1 (numpy.core) and 2 (numpy._core) put arrays and scalars together from.
_NUMPY_GLOBALS: dict[str, Any] = {
    f"numpy.{core}.{name}": reduced[0]
    for core in ("core", "_core")
    for name, reduced in (
        ("multiarray._reconstruct", np.empty(0).__reduce_ex__(4)),
        ("multiarray.scalar", np.float64(0).__reduce_ex__(4)),
        ("numeric._frombuffer", np.empty(0).__reduce_ex__(5)),
    )
} | {"numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}
_NUMPY_DTYPES = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_LEGACY_TORCH = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
_LARGEST_SAFETENSORS_HEADER = 100_000_000  # bytes, the format's own limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The tensors of a file by their published names, on the CPU, and the class names that lie beside them, if any."""

    tensors: dict[str, Tensor]
    classes: tuple[str, ...] | None


def read(path: Path) -> Checkpoint:
    """Open a .pth, .pkl or .safetensors file of any origin.

    Tensors are mapped where the format allows it, so that an optimizer's state is not read. The "state_dict" of
    MMSegmentation and the "model" of detectron2 are unwrapped, a "module." before every name is dropped.

    Raises:
        UnsafeCheckpointError: the pickle names something that is not a tensor or array; nothing was executed.
        DamagedCheckpointError: a truncated or corrupt file.
        NotACheckpointError: text, a web page, an empty file, a file without tensors.
        CheckpointError: the file cannot be read.
    """
    try:
        document = _load(path)
        checkpoint = _unwrapped(document) if isinstance(document, Mapping) else None
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    except Exception as error:  # a corrupt archive or pickle fails in any way there is
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DamagedCheckpointError(
            f"{path} is damaged, or only a part of the file: {reason}", "Delete it and fetch it again."
        ) from error
    if checkpoint is None:
        raise NotACheckpointError(f"{path} holds one {type(document).__name__}, not a set of tensors")
    if not checkpoint.tensors:
        raise NotACheckpointError(f"{path} holds no tensors")
    return checkpoint


def _load(path: Path) -> object:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(_ZIP):
        return _load_torch_zip(path)
    if head.startswith(_LEGACY_TORCH):
        return _load_torch(path, mmap=False)
    if head.startswith(_PICKLE):
        return _load_plain_pickle(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _LARGEST_SAFETENSORS_HEADER:
        return load_file(path)
    raise _another_kind(path, head)


def _load_torch_zip(path: Path) -> object:
    with zipfile.ZipFile(path) as archive:
        members = {name.rpartition("/")[2] for name in archive.namelist()}
    if "data.pkl" not in members:
        raise NotACheckpointError(f"{path} is a zip archive, but not one of torch.save")
    if "constants.pkl" in members:
        raise NotACheckpointError(f"{path} is a TorchScript program, not a set of tensors")
    return _load_torch(path, mmap=True)


def _load_torch(path: Path, *, mmap: bool) -> object:
    allowed = [(part, name) for name, part in _NUMPY_GLOBALS.items()]
    try:
        with torch.serialization.safe_globals([*allowed, *_NUMPY_DTYPES]):
            return torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise _unsafe(path, named[1] if named else "objects in a notation that torch.save does not use") from None


class _ArrayUnpickler(pickle.Unpickler):
    """Builds NumPy arrays and builtin containers, and refuses every other name before it is imported."""

    _allowed = _NUMPY_GLOBALS | {
        "collections.OrderedDict": OrderedDict,
        "_codecs.encode": lambda text, _: text.encode("latin1"),  # bytes, in protocol 2
    }

    def __init__(self, file: io.BufferedReader, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (part := self._allowed.get(f"{module}.{name}")) is None:
            raise _unsafe(self._path, f"{module}.{name}")
        return part


def _load_plain_pickle(path: Path) -> object:
    with path.open("rb") as file:
        return _ArrayUnpickler(file, path).load()


def _unsafe(path: Path, wanted: str) -> UnsafeCheckpointError:
    return UnsafeCheckpointError(
        f"{path} was refused: it asks Python for {wanted}, and a checkpoint needs nothing but tensors",
        "Nothing of it was executed. Fetch the file again from its publisher; do not open it with other tools.",
    )


def _another_kind(path: Path, head: bytes) -> NotACheckpointError:
    advice = "Checkpoints are .pth, .pkl or .safetensors files."
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        kind = "a web page"
        advice = "A browser saved the page about the file: open that, press Download, and take the file that arrives."
    elif head:
        kind = "of an unknown format" if b"\0" in head else "text"
    else:
        kind = "empty"
    return NotACheckpointError(f"{path} is not a checkpoint: it is {kind}", advice)


def _unwrapped(document: Mapping[Any, Any]) -> Checkpoint:
    wrapped = (document.get(key) for key in ("state_dict", "model"))
    state = next((inner for inner in wrapped if isinstance(inner, Mapping)), document)
    tensors = {str(name): _tensor(value) for name, value in state.items() if isinstance(value, Tensor | np.ndarray)}
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    meta = document.get("meta")
    classes = meta.get("CLASSES") if isinstance(meta, Mapping) else None
    return Checkpoint(tensors=tensors, classes=tuple(map(str, classes)) if isinstance(classes, list | tuple) else None)


def _tensor(value: Tensor | np.ndarray[Any, Any]) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else torch.from_numpy(value)
