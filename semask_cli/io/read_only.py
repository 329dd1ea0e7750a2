"""Mappings that cannot be changed, and that can be copied and sent to other processes."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def read_only(mapping: Mapping[Key, Value]) -> MappingProxyType[Key, Value]:
    """A read-only copy of `mapping`."""
    return MappingProxyType(dict(mapping))


copyreg.pickle(MappingProxyType, lambda proxy: (read_only, (dict(proxy),)))
