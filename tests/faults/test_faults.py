"""A few hundred cases of each kind, always the same ones. `make faults` runs the long harness."""

from __future__ import annotations

import pytest

from tests.faults.harness import run


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("images", 500),
        ("checkpoints", 300),
        ("datasets", 300),
        ("journals", 200),
        pytest.param("kills", 3, marks=pytest.mark.slow),
        pytest.param("system calls", 3, marks=pytest.mark.slow),
    ],
)
def test_damage_is_refused_or_harmless(kind: str, count: int) -> None:
    tally = run(kind, count, seed=7)
    assert tally.tried == count
    assert not tally.faults
    assert kind in ("kills", "system calls") or len(tally.outcomes) > 1  # some damage does no harm
