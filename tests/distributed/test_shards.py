"""Every image is in one shard, whoever asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.distributed.shards import Shard, stable_hash
from semask_cli.errors import UsageError


@given(ids=st.lists(st.text()), count=st.integers(1, 20), processes=st.integers(1, 5))
def test_each_image_is_in_one_shard_and_in_one_part_of_it(ids: list[str], count: int, processes: int) -> None:
    shards = [Shard(index=index, count=count) for index in range(count)]
    for id in ids:
        [holder] = [shard for shard in shards if shard.holds(id)]
        assert sum(holder.part(rank, processes).holds(id) for rank in range(processes)) == 1
        others = [shard.part(rank, processes) for shard in shards if shard != holder for rank in range(processes)]
        assert not any(part.holds(id) for part in others)


def test_shards_are_about_equal_and_the_hash_never_changes() -> None:
    sizes = [sum(Shard(index=index, count=4).holds(str(n)) for n in range(4000)) for index in range(4)]
    assert min(sizes) > 900
    assert stable_hash("street/one") == 0x8545203E41876ABA
    assert str(Shard.parse("17/1000")) == "17/1000"


@pytest.mark.parametrize("text", ["", "1", "8/8", "-1/8", "a/8", "1/8/2", "0/0", "1.0/2", "0/" + "9" * 5000])
def test_what_is_no_shard_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is not a shard"):
        Shard.parse(text)
