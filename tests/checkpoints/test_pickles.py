"""A pickle is read as data: what no checkpoint needs cannot be said, and a small file cannot ask for much."""

from __future__ import annotations

import contextlib
import io
import pickle
import resource
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.checkpoints import pickles
from semask_cli.checkpoints.pickles import UnsafePickleError, read_pickle
from semask_cli.checkpoints.reading import read
from semask_cli.errors import CheckpointError, DamagedCheckpointError, TensorShapeError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


def value_of(data: bytes) -> object:
    return read_pickle(io.BytesIO(data), size=len(data))


@given(PLAIN, st.integers(0, 5))
def test_plain_values_are_what_python_reads(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol=protocol)
    try:
        found = value_of(data)
    except UnsafePickleError:
        # Protocols 0 to 2 call for some bytes (b"") and write long integers as text: no checkpoint does.
        if protocol >= 3:
            raise
    else:
        assert found == pickle.loads(data)


def test_an_ordered_dict_keeps_its_order_and_loses_its_attributes() -> None:
    state = OrderedDict([("b", 1), ("a", 2)])
    state._metadata = {"version": 1}
    assert list(value_of(pickle.dumps(state, protocol=2)).items()) == [("b", 1), ("a", 2)]


# An object array over the attacker's bytes: Python's unpickler, told to allow numpy.ndarray, crashes on it.
OBJECT_ARRAY = (
    b"\x80\x02ccollections\nOrderedDict\n(cnumpy\nndarray\n((K\x01tcnumpy\ndtype\n(X\x01\0\0\0O\x89\x88tRc_codecs\n"
    b"encode\n(X\x08\0\0\0AAAAAAAAX\x06\0\0\0latin1tRtRtR."
)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(OBJECT_ARRAY, id="ndarray called"),
        pytest.param(pickle.dumps({"a": np.array([{}], object)}), id="object array"),
        pytest.param(b"\x80\x02]q\x00K\x00K\x01s.", id="SETITEM on a list"),
        pytest.param(b"\x80\x02]q\x00}b.", id="BUILD on a list"),
        pytest.param(b"\x80\x02" + b"2\x86" * 40 + b".", id="nothing to duplicate"),
        pytest.param(b"\x80\x02}K\x01" + b"2\x86" * 40 + b"K\x01s.", id="a key of 2 ** 40 parts"),
        pytest.param(b"\x80\x02(" + b"(" * 100_000 + b".", id="100,000 marks"),
        pytest.param(b"\x80\x02}X" + struct.pack("<I", 1_000_000) + b"a" * 1_000_000 + b"K\x01s.", id="a long name"),
        pytest.param(b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"a.", id="a length beyond the file"),
        pytest.param(b"\x80\x02r\xff\xff\xff\x7f.", id="a memo of 2 ** 31"),
    ],
)
def test_what_no_checkpoint_needs_is_refused_in_little_memory(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.pkl"
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


def test_opcodes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_OPCODES", 1000)
    with pytest.raises(ValueError, match="more than 1000 opcodes"):
        value_of(b"\x80\x04" + b"]" * 1001 + b".")
    assert len(value_of(b"\x80\x04(" + b"]" * 990 + b"l.")) == 990


def test_copies_are_bounded_by_the_file() -> None:
    """One long text, made bytes again and again."""
    text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x02"
    encoded = b"c_codecs\nencode\nq\x01" + text + b"X\x06\0\0\0latin1\x86q\x03R"
    with pytest.raises(ValueError, match="many times its size"):
        value_of(b"\x80\x02]" + encoded + b"h\x01h\x03R" * 1000 + b".")


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_point_numbers_are_read_for_what_they_are(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    torch.save({"model": {"w": torch.ones(3).to(dtype)}}, tmp_path / "file.pth")
    assert read(tmp_path / "file.pth").tensors["w"].dtype == dtype


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_tensors_of_other_kinds_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    kinds = {
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "without data": torch.empty(3, device="meta"),
    }
    for kind, tensor in kinds.items():
        torch.save({"model": {"backbone.w": tensor}}, path)
        with pytest.raises(TensorShapeError, match=rf"backbone\.w is {kind}"):
            read(path)


def test_tensors_that_overlap_or_reach_beyond_their_storage(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    torch.save({"model": {"w": torch.ones(1).expand(1 << 30)}}, path)
    with pytest.raises(DamagedCheckpointError, match="w: its numbers overlap"):
        read(path)
    torch.save({"model": {"w": torch.ones(4, 6)}}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"K\x04K\x06\x86", b"K\x04K\x07\x86"))
    with pytest.raises(DamagedCheckpointError, match="w: it reaches beyond its storage"):
        read(path)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_value_or_a_refusal(data: bytes) -> None:
    damaged = (ValueError, LookupError, OverflowError, struct.error, TypeError, AttributeError)
    with contextlib.suppress(UnsafePickleError, *damaged):
        value_of(b"\x80\x02" + data)
