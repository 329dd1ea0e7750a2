"""Fingerprints of many files: equal for every order, and different for everything else."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from semask_cli.evaluation.provenance import counts_digest, fingerprint, provenance
from semask_cli.evaluation.records import Instance, Record

digests = st.dictionaries(st.text(max_size=5), st.text("0123456789abcdef", max_size=4), min_size=1, max_size=8)


@given(digests, st.randoms(use_true_random=False))
def test_the_order_does_not_matter_and_parts_add_up(files, random):
    items = list(files.items())
    whole = fingerprint(items)
    random.shuffle(items)
    assert fingerprint(items) == whole
    parts = [int(fingerprint(items[start::2]), 16) for start in range(2)]
    assert sum(parts) % 2**256 == int(whole, 16)


@given(digests, digests)
def test_other_files_have_another_fingerprint(files, others):
    assert (fingerprint(files.items()) == fingerprint(others.items())) == (files == others)


def test_the_fingerprint_is_what_the_documentation_says():
    one = hashlib.sha256(b"street\x00" + b"ab").hexdigest()
    assert fingerprint([("street", "ab")]) == one


def test_everything_counted_is_in_the_digest_of_the_counts():
    def record(**changed):
        values = {
            "id": "a",
            "files": "f",
            "image": "i",
            "labels": "l",
            "predicted": "p",
            "nonzero_counts": ((0, 0, 5),),
        }
        return Record(**{**values, **changed})

    plain = record()
    object_ = Instance(label=1, pixels=9, right=3, right_category=4)
    others = [record(nonzero_counts=((0, 0, 6),)), record(instances=(object_,))]
    assert len({counts_digest(each) for each in (plain, *others)}) == 3
    assert provenance([plain], "").counts != provenance([others[0]], "").counts
    assert provenance([plain], "").labels == provenance([others[0]], "").labels
    assert provenance([plain], "").labels != provenance([record(labels="m")], "").labels
