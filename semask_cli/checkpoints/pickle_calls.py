"""The results of the calls in a checkpoint's pickle: plain values and inert records. Nothing is imported or called.

A function in `CALLS` gets `charge`, which counts the bytes it copies, and the arguments of the call in the pickle.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from semask_cli.checkpoints.records import (
    STORAGES,
    ArrayRecord,
    DtypeRecord,
    Name,
    OtherTensorRecord,
    StorageRecord,
    TensorRecord,
)

MAX_KEY = 1000  # characters of a dictionary's key

_NUMPY = ("numpy.core", "numpy._core")  # of NumPy 1 and 2
_NUMBERS = (bool, int, float)
_SCALARS = {"f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q"} | {
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "b1": "?",
}  # fmt: skip

Charge = Callable[[int], None]


def filled(mapping: dict[Any, Any], items: Sequence[Any]) -> dict[Any, Any]:
    """Fill the mapping with alternating keys and values.

    Raises:
        ValueError: a key is not text, a number or None, which are cheap to hash.
    """
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is str and len(key) > MAX_KEY:
            raise ValueError(f"a name of {len(key)} characters")
        if key is not None and type(key) not in (str, *_NUMBERS):
            raise ValueError(f"a key that is a {type(key).__name__}")
        mapping[key] = value
    return mapping


def _ordered_dict(charge: Charge, items: Any = ()) -> dict[Any, Any]:
    if isinstance(items, dict):
        items = list(items.items())
    if not isinstance(items, list | tuple):
        raise ValueError("a dictionary of something that is not pairs")
    charge(100 * len(items))
    flat = [part for pair in items if isinstance(pair, list | tuple) and len(pair) == 2 for part in pair]
    if len(flat) != 2 * len(items):
        raise ValueError("a dictionary of something that is not pairs")
    return filled({}, flat)


def _encode(charge: Charge, text: Any, encoding: Any = "latin1") -> bytes:
    """Bytes, in protocol 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("bytes that are not written as latin1")
    charge(len(text))
    return text.encode("latin1")


def _sequence(charge: Charge, items: Any = ()) -> list[Any]:
    if not isinstance(items, list | tuple):
        raise ValueError("a sequence of something that is none")
    charge(8 * len(items))
    return list(items)


def _array(charge: Charge, kind: Any, shape: Any, code: Any) -> ArrayRecord:
    if kind != Name("numpy.ndarray"):
        raise ValueError("an array of another kind")
    return ArrayRecord()


def _scalar(charge: Charge, dtype: Any, data: Any) -> Any:
    """A NumPy scalar, as found among settings beside the weights."""
    if not isinstance(dtype, DtypeRecord) or dtype.code not in _SCALARS or not isinstance(data, bytes):
        raise ValueError("a scalar of another kind")
    order = ">" if dtype.order == ">" else "<"
    return struct.unpack(order + _SCALARS[dtype.code], data)[0]


def _tensor(charge: Charge, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> TensorRecord:
    if not isinstance(storage, StorageRecord):
        raise ValueError("a tensor without a storage")
    return TensorRecord(storage, offset, size, stride)


def _other(kind: str) -> Callable[..., OtherTensorRecord]:
    return lambda charge, *arguments: OtherTensorRecord(kind)


CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _ordered_dict,
    "_codecs.encode": _encode,
    "torch.Size": lambda charge, size=(): tuple(_sequence(charge, size)),
    "torch.device": lambda charge, *parts: Name("torch.device"),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda charge, data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda charge, data, *_: data,
    "torch._utils._rebuild_sparse_tensor": _other("sparse"),
    "torch._utils._rebuild_nested_tensor": _other("nested"),
    "torch._utils._rebuild_qtensor": _other("quantized"),
    "torch._utils._rebuild_meta_tensor_no_storage": _other("without data"),
    "torch.serialization._get_layout": lambda charge, name: name,
    "numpy.dtype": lambda charge, code, *_: DtypeRecord(code),
    **{f"{core}.multiarray._reconstruct": _array for core in _NUMPY},
    **{f"{core}.multiarray.scalar": _scalar for core in _NUMPY},
    **{
        f"{core}.numeric._frombuffer": lambda charge, data, dtype, shape, order: ArrayRecord(
            shape, dtype, order == "F", data
        )
        for core in _NUMPY
    },
    **{f"{builtins}.set": _sequence for builtins in ("builtins", "__builtin__")},
}
"""The result of a call of each name."""

_QUANTIZED = ("torch.QInt8Storage", "torch.QUInt8Storage", "torch.QInt32Storage")
_DTYPES = tuple(f"torch.{name}" for name in {*STORAGES.values(), "float", "half", "double", "long", "int"})
_QSCHEMES = ("torch.per_tensor_affine", "torch.per_channel_affine")
NAMES = frozenset((*CALLS, *STORAGES, *_QUANTIZED, *_DTYPES, *_QSCHEMES, "numpy.ndarray"))
"""All names that a pickle may refer to."""
