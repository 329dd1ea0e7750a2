"""A few hundred cases of each kind, always the same ones. `make faults` runs the long harness."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.faults.harness import OWN_MOUNTS, run

MAY_MOUNT = shutil.which("unshare") and not subprocess.run([*OWN_MOUNTS, "true"], capture_output=True).returncode
needs_mounts = pytest.mark.skipif(not MAY_MOUNT, reason="no file system may be mounted here")


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("checkpoints", 150),
        pytest.param("images", 300, marks=pytest.mark.slow),
        pytest.param("datasets", 150, marks=pytest.mark.slow),
        pytest.param("journals", 100, marks=pytest.mark.slow),
        pytest.param("kills", 1, marks=pytest.mark.slow),
        pytest.param("system calls", 1, marks=pytest.mark.slow),
        pytest.param("full disks", 1, marks=[pytest.mark.slow, needs_mounts]),
    ],
)
def test_damage_is_refused_or_harmless(kind: str, count: int) -> None:
    tally = run(kind, count, seed=7)
    assert tally.tried == count
    assert not tally.faults
    assert kind in ("kills", "system calls", "full disks") or len(tally.outcomes) > 1  # some damage does no harm
