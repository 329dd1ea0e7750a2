"""MATLAB 5 files, the label format of COCO-Stuff 10k: the array `S`, read without trusting the file.

SciPy parses the arrays, but it neither verifies the checksums of compressed ones nor bounds their unpacked size, and
raises almost anything on a damaged file. So files are unpacked and verified here first.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semask_cli.errors import DatasetError
from semask_cli.io.images import MAX_PIXELS
from semask_cli.io.regular import read_regular

_VARIABLE = "S"
_MAX_BYTES = MAX_PIXELS  # of a file, packed or not: one byte per pixel of the largest label
_HEADER = 128  # bytes of text, version and byte order
_VERSION_5, _VERSION_7_3 = 0x0100, 0x0200
_COMPRESSED = 15  # the type of an element that holds another one, deflated
_NUMBERS = frozenset(("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double"))
_AGAIN = "Copy it again from the download."


def read_mat(path: Path) -> NDArray[np.integer]:
    """The array `S` (H, W) of whole numbers in a .mat file.

    Raises:
        DatasetError: the file is missing, damaged, of another kind or version, or its `S` is something else.
    """
    from scipy.io import loadmat, whosmat  # type: ignore[import-untyped]

    try:
        plain = _inflated(path, read_regular(path, limit=_MAX_BYTES))
        kinds = {name: (shape, kind) for name, shape, kind in whosmat(io.BytesIO(plain))}
        shape, kind = kinds[_VARIABLE]
        if len(shape) != 2 or not 0 < shape[0] * shape[1] <= MAX_PIXELS or kind not in _NUMBERS:
            raise ValueError(f"{_VARIABLE} is a {kind} array of {' x '.join(map(str, shape))}")
        values = loadmat(io.BytesIO(plain), variable_names=[_VARIABLE])[_VARIABLE]
        if values.shape != tuple(shape) or values.dtype.kind not in "iu":
            raise ValueError(f"{_VARIABLE} holds {values.dtype} {values.shape}, where labels are whole numbers (H, W)")
        return np.asarray(values)
    except DatasetError:
        raise
    except KeyError as error:
        raise DatasetError(f"cannot read {path}: there is no array {_VARIABLE}", _AGAIN) from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}", _AGAIN) from error
    except Exception as error:  # on a damaged file SciPy raises almost anything
        raise DatasetError(f"cannot read {path}: {error}", _AGAIN) from error


def _inflated(path: Path, content: bytes) -> bytes:
    """The same file with its compressed elements unpacked and their checksums verified."""
    order = {b"IM": "<", b"MI": ">"}.get(content[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("it is not a MATLAB 5 file")
    (version,) = struct.unpack_from(f"{order}H", content, _HEADER - 4)
    if version == _VERSION_7_3:
        raise DatasetError(
            f"{path} is a label file of COCO-Stuff 10k version 1.0",
            "The published models are evaluated on version 1.1: download its annotations.",
        )
    if version != _VERSION_5:
        raise ValueError(f"its version is {version:#06x}, not {_VERSION_5:#06x}")
    view = memoryview(content)
    parts, at, room = [view[:_HEADER]], _HEADER, _MAX_BYTES
    while at < len(view):
        kind, length = struct.unpack_from(f"{order}II", view, at)
        element = view[at : at + 8 + length]
        if len(element) != 8 + length:
            raise ValueError("it is truncated")
        if kind == _COMPRESSED:
            inflater = zlib.decompressobj()
            element = memoryview(inflater.decompress(element[8:], room))
            if not inflater.eof:
                raise ValueError("a compressed part is truncated, or unpacks to more than a label")
        room = max(1, room - len(element))
        parts.append(element)
        at += 8 + length
    return b"".join(parts)
