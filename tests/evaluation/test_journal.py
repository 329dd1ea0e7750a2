import errno
import os
import resource
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.errors import OutputError, UsageError
from semask_cli.evaluation.journal import Journal, default_journal, forget
from semask_cli.evaluation.records import Instance, Record, nonzero_counts

SETTINGS = {"model": "swin-t-fpn", "scales": (0.5, 1.0), "flip": False}


def record(number):
    counts = np.zeros((3, 4), np.int64)
    counts[number % 3, 1:] = (number, 0, 2**30 + number)
    return Record(
        id=f"city/{number}",
        files=f"digest {number}",
        image=f"image {number}",
        labels=f"labels {number}",
        predicted=f"predicted {number}",
        nonzero_counts=nonzero_counts(counts),
        instances=(Instance(label=1, pixels=9, right=3, right_category=4),),
    )


def test_records_come_back_as_they_were(tmp_path):
    journal = Journal(tmp_path, SETTINGS, classes=3)
    for number in range(5):
        journal.append(record(number))
    assert Journal(tmp_path, SETTINGS, classes=3).read().records == tuple(record(number) for number in range(5))
    assert record(4).counts(3).sum() == 4 + 2**30 + 4


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, SETTINGS, classes=3)
    for number in range(3):
        journal.append(record(number))
    return (folder / "rank-0.jsonl").read_bytes()


@given(st.data())
def test_wherever_a_kill_cuts_the_file_the_whole_records_remain_and_writing_goes_on(tmp_path_factory, written, data):
    cut = data.draw(st.integers(0, len(written)))
    folder = tmp_path_factory.mktemp("cut")
    (folder / "rank-0.jsonl").write_bytes(written[:cut])
    whole = max(0, written[:cut].count(b"\n") - 1)
    # A line that lacks only its end is whole.
    assert len(Journal(folder, SETTINGS, classes=3).read().records) == whole
    journal = Journal(folder, SETTINGS, classes=3)
    journal.append(record(9))
    assert journal.read().records == (*map(record, range(whole)), record(9))


def test_every_process_reads_what_all_have_written(tmp_path):
    first, second = Journal(tmp_path, SETTINGS, classes=3, number=0), Journal(tmp_path, SETTINGS, classes=3, number=1)
    second.append(record(1))
    first.append(record(0))
    assert {record.id for record in first.read().records} == {"city/0", "city/1"}
    assert {record.id for record in Journal(tmp_path, SETTINGS, classes=3).read().records} == {"city/0", "city/1"}


def test_a_journal_of_other_settings_is_refused_and_left_alone(tmp_path):
    Journal(tmp_path, SETTINGS, classes=3).append(record(0))
    before = (tmp_path / "rank-0.jsonl").read_bytes()
    with pytest.raises(UsageError, match="flip was False, is True") as refused:
        Journal(tmp_path, {**SETTINGS, "flip": True}, classes=3)
    assert "--fresh" in refused.value.suggestion
    assert (tmp_path / "rank-0.jsonl").read_bytes() == before


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "rank-0.jsonl").write_text('{"some": "json"}\n')
    with pytest.raises(UsageError, match="is damaged, or was written by another version"):
        Journal(tmp_path, SETTINGS, classes=3)


def test_settings_have_one_digest_each():
    settings = {**SETTINGS, "dataset": "ade20k", "split": "val"}
    assert default_journal("a", settings) == default_journal("a", {**settings, "scales": [0.5, 1.0]})
    assert default_journal("a", settings) != default_journal("a", {**settings, "scales": [0.5]})


def test_forgetting_a_journal_takes_nothing_else_from_its_folder(tmp_path):
    Journal(tmp_path, SETTINGS, classes=3).append(record(0))
    (tmp_path / "thesis.txt").write_text("mine")
    forget(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


LINES = st.one_of(
    st.sampled_from([b"null", b"[]", b"123", b'"x"', b"{}", b"[" * 100_000, b"\xff\xfe", bytes(40), b"9" * 5000]),
    st.binary(max_size=60).filter(lambda line: b"\n" not in line),
)


@given(LINES)
def test_a_line_that_is_no_record_is_counted_as_damaged(tmp_path_factory, written, line):
    folder = tmp_path_factory.mktemp("damaged")
    header, first, _, third, _ = written.split(b"\n")
    (folder / "rank-0.jsonl").write_bytes(b"\n".join([header, first, line, third, b""]))
    contents = Journal(folder, SETTINGS, classes=3).read()
    assert (contents.records, contents.damaged) == ((record(0), record(2)), 1)


@given(st.data())
def test_a_bit_that_flips_in_a_record_is_noticed(tmp_path_factory, written, data):
    start = written.index(b"\n") + 1
    at = data.draw(st.integers(start, len(written) - 2))
    changed = bytearray(written)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    folder = tmp_path_factory.mktemp("flipped")
    (folder / "rank-0.jsonl").write_bytes(changed)
    contents = Journal(folder, SETTINGS, classes=3).read()
    assert contents.damaged
    assert set(contents.records) < {record(0), record(1), record(2)}


@pytest.mark.parametrize("at", [0, 5, 60])
def test_a_damaged_header_says_nothing_so_the_journal_is_refused(tmp_path, written, at):
    changed = bytearray(written)
    changed[at] ^= 4
    (tmp_path / "rank-0.jsonl").write_bytes(changed)
    with pytest.raises(UsageError, match="is damaged, or was written by another version") as refused:
        Journal(tmp_path, SETTINGS, classes=3)
    assert "--fresh" in refused.value.suggestion


@pytest.mark.parametrize(
    ("entries", "instances"),
    [
        (((3, 0, 1),), ()),
        (((0, 4, 1),), ()),
        (((-1, 0, 1),), ()),
        (((0, 0, -1),), ()),
        (((0, 0, 2**70),), ()),
        (((0, 0, None),), ()),
        (((0, 0),), ()),
        ((), (Instance(label=3, pixels=1, right=1, right_category=1),)),
        ((), (Instance(label=1, pixels=0, right=0, right_category=0),)),
        ((), (Instance(label=1, pixels=1, right=2, right_category=1),)),
    ],
)
def test_a_record_that_counts_what_cannot_be_is_damaged_whatever_its_checksum(tmp_path, entries, instances):
    journal = Journal(tmp_path, SETTINGS, classes=3)
    journal.append(replace(record(0), nonzero_counts=entries, instances=instances))
    assert journal.read().damaged == 1


def test_what_is_no_file_is_refused_in_words(tmp_path):
    (tmp_path / "a/rank-0.jsonl").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b/rank-0.jsonl")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/rank-0.jsonl").symlink_to("rank-0.jsonl")
    for name in "abc":
        with pytest.raises(OutputError, match=r"cannot read the journal .*rank-0\.jsonl"):
            Journal(tmp_path / name, SETTINGS, classes=3)
    with pytest.raises(OutputError, match="cannot remove the journal"):
        forget(tmp_path / "a")


def test_a_journal_that_a_disk_cannot_read_is_refused_in_words(tmp_path, monkeypatch):
    Journal(tmp_path, SETTINGS, classes=3).append(record(0))

    def fail(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("semask_cli.io.journal.open_regular", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        Journal(tmp_path, SETTINGS, classes=3)


def test_on_a_full_disk_nobody_is_told_to_start_over(tmp_path):
    journal = Journal(tmp_path, SETTINGS, classes=3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        with pytest.raises(OutputError, match="cannot write the journal") as caught:
            any(journal.append(record(number)) for number in range(20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "start the same command again" in caught.value.suggestion
    assert "--fresh" not in caught.value.suggestion
    assert Journal(tmp_path, SETTINGS, classes=3).read().records
