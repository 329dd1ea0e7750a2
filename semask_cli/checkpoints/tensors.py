"""From the inert records of a checkpoint to tensors, validating every size, stride, offset and dtype."""

from __future__ import annotations

import math
from collections.abc import Mapping
from mmap import mmap

import numpy as np
import torch
from torch import Tensor

from semask_cli.checkpoints.archives import Region
from semask_cli.checkpoints.records import STORAGES, ArrayRecord, DtypeRecord, TensorRecord

ITEMSIZES = {name: getattr(torch, dtype).itemsize for name, dtype in STORAGES.items()}

_ARRAY_DTYPES = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))
_MAX_DIMENSIONS = 8


def tensor_of_record(record: TensorRecord, regions: Mapping[str, Region], memory: mmap) -> Tensor:
    """A tensor over the mapped file, without a copy if its data is aligned.

    Raises:
        ValueError: its storage is missing or of an unknown type, or does not contain it.
    """
    storage, sizes, strides = record.storage, record.size, record.stride
    if storage.name not in STORAGES:
        raise ValueError(f"numbers of the type {storage.name}")
    region = regions.get(storage.key)
    if region is None:
        raise ValueError(f"its storage {storage.key!r:.100} is missing")
    dtype, itemsize = getattr(torch, STORAGES[storage.name]), ITEMSIZES[storage.name]
    if (
        not _are_counts(sizes)
        or not _are_counts(strides)
        or len(sizes) != len(strides)
        or not _are_counts([record.offset])
    ):
        raise ValueError("an invalid shape")
    if storage.numel * itemsize > region.size:
        raise ValueError("its storage is cut off")
    if 0 in sizes:
        return torch.empty(tuple(sizes), dtype=dtype)
    last = record.offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    if last >= storage.numel:
        raise ValueError("it reaches beyond its storage")
    if _overlaps(sizes, strides):
        raise ValueError("its numbers overlap")
    start = region.start + record.offset * itemsize
    count = last - record.offset + 1
    if start % itemsize:
        flat = torch.frombuffer(bytearray(memory[start : start + count * itemsize]), dtype=dtype)
    else:
        flat = torch.frombuffer(memory, dtype=dtype, count=count, offset=start)
    return flat.as_strided(tuple(sizes), tuple(strides))


def tensor_of_array(record: ArrayRecord) -> Tensor:
    """A tensor of a NumPy array's bytes.

    Raises:
        ValueError: the dtype is not numeric, or the number of bytes does not match the shape.
    """
    dtype, shape, data = record.dtype, record.shape, record.data
    if not isinstance(dtype, DtypeRecord) or dtype.code not in _ARRAY_DTYPES:
        raise ValueError("an array of another type than numbers")
    if not isinstance(shape, tuple | list) or not _are_counts(shape) or not isinstance(data, bytes | bytearray):
        raise ValueError("an array without shape or data")
    number = np.dtype(dtype.code).newbyteorder(">" if dtype.order == ">" else "<")
    if math.prod(shape) * number.itemsize != len(data):
        raise ValueError(f"an array of {len(data)} bytes, where its shape needs {math.prod(shape) * number.itemsize}")
    values = np.frombuffer(data, number).reshape(tuple(shape), order="F" if record.fortran is True else "C")
    return torch.from_numpy(values.astype(number.newbyteorder("="), order="C"))


def _are_counts(values: object) -> bool:
    """Whether these are valid sizes, strides or offsets of a tensor."""
    if not isinstance(values, tuple | list) or len(values) > _MAX_DIMENSIONS:
        return False
    return all(type(value) is int and 0 <= value < 1 << 40 for value in values)


def _overlaps(sizes: list[int], strides: list[int]) -> bool:
    """Whether two positions may share an element: each stride must exceed the reach of the smaller ones."""
    reach = 1
    for stride, size in sorted((stride, size) for size, stride in zip(sizes, strides, strict=True) if size > 1):
        if stride < reach:
            return True
        reach = stride * (size - 1) + reach
    return False
