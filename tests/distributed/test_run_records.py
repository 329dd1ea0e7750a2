"""Of a journal's files only what this version writes is read, whatever else has the right checksums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from semask_cli.distributed.run_journal import RunJournal
from semask_cli.distributed.shards import Shard
from semask_cli.distributed.status import read_status
from semask_cli.io.journal import encoded
from semask_cli.io.storage import state

SETTINGS = {"model": "swin-t-fpn", "outputs": ["mask"]}


class Noted:
    """A run in `folder` that has noted one image."""

    def __init__(self, folder: Path) -> None:
        self.output, self.source, self.mask = folder / "out", folder / "one.jpg", folder / "out/one.png"
        self.output.mkdir(exist_ok=True)
        self.source.touch()
        self.mask.touch()
        self.journal(fresh=True).note("one", state(self.source), [self.mask])
        [self.file] = self.output.rglob("*.jsonl")
        self.header, self.line = self.file.read_bytes().splitlines(keepends=True)

    def journal(self, *, fresh: bool = False) -> RunJournal:
        return RunJournal(self.output, SETTINGS, shard=Shard(), fresh=fresh)

    def is_done(self) -> bool:
        return self.journal().is_done("one", self.source, [self.mask])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab") | st.just("0" * 16),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=3,
)
KEYS = ("id", "at", "done", "failed", "message", "inputs", "manifest", "format", "settings", "size", "replaces")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.dictionaries(st.sampled_from((*KEYS, "damaged")), VALUES, min_size=1), max_size=3))
@example(lines=[{"done": 5}])
@example(lines=[{"at": 10**400, "id": "0" * 16}])
@example(lines=[{"at": 1.0, "id": "0" * 16, "failed": "ImageError"}])
@example(lines=[{"format": "semask run 1", "settings": SETTINGS, "replaces": [{}]}])
def test_lines_with_right_checksums_that_no_run_has_written_are_passed_over(
    tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    run = Noted(tmp_path)
    run.file.write_bytes(b"".join([run.header, run.line, *map(encoded, lines)]))
    assert run.is_done()
    [status] = read_status(run.output)
    assert status.settings == SETTINGS
    assert status.done + sum(failure.images for failure in status.failures) >= 1


def test_what_another_version_has_written_is_passed_over(tmp_path: Path) -> None:
    run = Noted(tmp_path)
    run.file.write_bytes(encoded({"format": "semask run 2", "settings": SETTINGS, "shard": "0/1"}) + run.line)
    assert not run.is_done()
    run.file.write_bytes(encoded({"no": "header"}) + run.line)
    assert run.is_done()
