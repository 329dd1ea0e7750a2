"""Shards of a run: each image belongs to one, by a stable hash of its id."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from semask_cli.errors import UsageError, printable


def stable_hash(text: str) -> int:
    """64 bits of BLAKE2b: the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Part `index` of `count`, counted from 0."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse "17/1000", the eighteenth of a thousand shards.

        Raises:
            UsageError: the text is not a shard.
        """
        parsed = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        index, count = map(int, parsed.groups()) if parsed else (0, 0)
        if index >= count:
            raise UsageError(f"--shard {printable(text)} is not a shard", "Write number/count, from 0: 0/8 to 7/8.")
        return cls(index=index, count=count)

    def holds(self, id: str) -> bool:
        """Whether the image called `id` is in this shard."""
        return self.count == 1 or stable_hash(id) % self.count == self.index

    def part(self, index: int, count: int) -> Shard:
        """Part `index` of `count` of this shard."""
        return Shard(index=self.index + self.count * index, count=self.count * count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
