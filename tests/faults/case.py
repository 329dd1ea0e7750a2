"""One case: damage something, use it, and judge what came of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

Case = Callable[[random.Random, Path], str]
"""Gets a generator and an empty folder; returns the outcome in a word or two, or raises Fault."""


class Fault(AssertionError):  # noqa: N818, the harness's word
    """What should not have happened: the text says what."""


def mutate(draw: random.Random, data: bytes) -> tuple[bytes, str]:
    """Damage as disks, networks and people do it. Returns the bytes and the kind of damage."""
    kind = draw.choice(("bit", "bytes", "truncate", "zeros", "insert", "delete", "swap", "tail", "extreme"))
    at = draw.randrange(len(data))
    length = min(draw.choice((1, 4, 64, 1024)), len(data) - at)
    if kind == "bit":
        changed = bytearray(data)
        for _ in range(draw.choice((1, 1, 1, 3, 16))):
            changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return bytes(changed), kind
    if kind == "bytes":
        return data[:at] + draw.randbytes(length) + data[at + length :], kind
    if kind == "truncate":
        return data[:at], kind
    if kind == "zeros":
        return data[:at] + bytes(length) + data[at + length :], kind
    if kind == "insert":
        return data[:at] + draw.randbytes(length) + data[at:], kind
    if kind == "delete":
        return data[:at] + data[at + length :], kind
    if kind == "swap":
        other = draw.randrange(len(data))
        low, high = sorted((at, other))
        return data[:low] + data[high : high + length] + data[low + length :], kind
    if kind == "tail":
        return data + draw.randbytes(length), kind
    extreme = draw.choice(
        (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff" * 8)
    )
    return data[:at] + extreme + data[at + len(extreme) :], kind
