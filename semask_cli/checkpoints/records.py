"""Inert records of a checkpoint's pickle: nothing was called, imported or validated."""

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
"""torch's dtype of each allowed storage type."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global that the file refers to. Nothing was imported."""

    name: str


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """A storage elsewhere in the file: `numel` numbers of the type `name` ("torch.FloatStorage")."""

    name: str
    key: str
    numel: int


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor over a storage; offset, size and stride in elements, not validated."""

    storage: StorageRecord
    offset: Any
    size: Any
    stride: Any


@dataclass(frozen=True, slots=True)
class OtherTensorRecord:
    """A tensor that cannot be a weight: sparse, quantized, or on the meta device."""

    kind: str


@dataclass(slots=True)
class DtypeRecord:
    """A NumPy dtype by its code ("f4"), and its byte order, which is set later; not validated."""

    code: Any
    order: Any = "="


@dataclass(slots=True)
class ArrayRecord:
    """A NumPy array, filled at most once: shape, dtype, Fortran order, and bytes; not validated."""

    shape: Any = None
    dtype: Any = None
    fortran: Any = False
    data: Any = None
