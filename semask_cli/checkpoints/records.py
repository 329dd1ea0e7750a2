"""What a checkpoint's pickle says, as inert records: nothing of it was called, imported or checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STORAGES = {
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.DoubleStorage": "float64",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
    "torch.ComplexFloatStorage": "complex64",
    "torch.ComplexDoubleStorage": "complex128",
}
"""torch's dtype of each type of storage. A file may name no other."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global that the file names. Nothing was imported."""

    name: str


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """Numbers that lie elsewhere in the file: `numel` of the type that `name` says ("torch.FloatStorage")."""

    name: str
    key: str
    numel: int


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor over a storage, in elements. Nothing of it was checked."""

    storage: StorageRecord
    offset: Any
    size: Any
    stride: Any


@dataclass(frozen=True, slots=True)
class OtherTensorRecord:
    """A tensor of a kind that weights never are: sparse, quantized, on the meta device."""

    kind: str


@dataclass(slots=True)
class DtypeRecord:
    """A NumPy dtype by its code, as in "f4", and its byte order, which comes later. Nothing was checked."""

    code: Any
    order: Any = "="


@dataclass(slots=True)
class ArrayRecord:
    """A NumPy array, filled at most once: shape, dtype, whether in Fortran's order, and bytes. Nothing was checked."""

    shape: Any = None
    dtype: Any = None
    fortran: Any = False
    data: Any = None
