"""Every published structure is read exactly, nothing in a file is executed, what is broken is called by its name."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from semask_cli.checkpoints.reading import read
from semask_cli.errors import CheckpointError, DamagedCheckpointError, NotACheckpointError, UnsafeCheckpointError

TENSORS = {
    "backbone.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "backbone.half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "backbone.count": torch.tensor(7),
}
ARRAYS = {name: tensor.numpy() for name, tensor in TENSORS.items()}
META = {"CLASSES": ("wall", "sky"), "hook_msgs": {"best_score": np.float64(0.42), "best_iter": np.int64(3)}}


def torch_file(document: Any, **how: Any) -> bytes:
    torch.save(document, buffer := io.BytesIO(), **how)
    return buffer.getvalue()


FILES = {
    "mmseg": torch_file({"meta": META, "state_dict": TENSORS, "optimizer": {"state": {0: torch.zeros(9)}}}),
    "prefixed": torch_file({"state_dict": {f"module.{name}": tensor for name, tensor in TENSORS.items()}}),
    "detectron2": torch_file({"model": TENSORS, "scheduler": {"last_epoch": 3}, "iteration": 159999}),
    "bare": torch_file(TENSORS),
    "torch before 1.6": torch_file({"model": TENSORS}, _use_new_zipfile_serialization=False),
    "arrays in torch": torch_file({"model": ARRAYS}),
    "arrays in torch before 1.6": torch_file({"model": ARRAYS}, _use_new_zipfile_serialization=False),
    "arrays of NumPy 1 in torch before 1.6": torch_file(
        {"model": ARRAYS}, _use_new_zipfile_serialization=False
    ).replace(b"numpy._core", b"numpy.core"),
    "pickle 2 of NumPy 1": pickle.dumps({"model": ARRAYS}, protocol=2).replace(b"numpy._core", b"numpy.core"),
    **{f"pickle {p}": pickle.dumps({"model": ARRAYS, "__author__": "x"}, protocol=p) for p in (2, 3, 4, 5)},
    "safetensors": save(TENSORS),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.bin"  # the ending says nothing


@pytest.mark.parametrize("kind", FILES)
def test_reads_every_published_structure(kind: str, path: Path) -> None:
    path.write_bytes(FILES[kind])
    checkpoint = read(path)
    assert checkpoint.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert checkpoint.tensors[name].dtype == tensor.dtype
        assert torch.equal(checkpoint.tensors[name], tensor)
    assert checkpoint.classes == (("wall", "sky") if kind == "mmseg" else None)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_optimizer_state_is_not_read_into_memory(path: Path) -> None:
    torch.save({"state_dict": TENSORS, "optimizer": torch.ones(50_000_000)}, path)
    before = resident_bytes()
    checkpoint = read(path)
    assert resident_bytes() - before < 100_000_000  # the optimizer alone has 200 MB
    assert torch.equal(checkpoint.tensors["backbone.weight"], TENSORS["backbone.weight"])


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class RunsCode:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize(
    "dump",
    [
        torch_file,
        lambda document: torch_file(document, _use_new_zipfile_serialization=False),
        lambda document: torch_file(document, pickle_protocol=4),
        *(lambda document, protocol=p: pickle.dumps(document, protocol=protocol) for p in (2, 3, 4, 5)),
    ],
)
def test_a_pickle_that_runs_code_is_refused_and_not_run(dump: Any, path: Path, tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    path.write_bytes(dump({"model": ARRAYS, "payload": RunsCode(marker)}))
    with pytest.raises(UnsafeCheckpointError, match="refers to"):
        read(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(RunsCode(marker)))
    assert marker.exists()  # it would have


@pytest.mark.parametrize(
    ("document", "wanted"),
    [({"model": TENSORS, "args": argparse.Namespace(lr=1)}, "argparse.Namespace"), ({"f": os.system}, "system")],
)
def test_a_refusal_names_what_the_file_wanted(document: Any, wanted: str, path: Path) -> None:
    for data in (torch_file(document), pickle.dumps({"payload": list(document.values())[-1]})):
        path.write_bytes(data)
        with pytest.raises(UnsafeCheckpointError) as caught:
            read(path)
        assert wanted in caught.value.message
        assert "weights_only" not in caught.value.message + caught.value.suggestion


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"Dear reader,\nthis is no checkpoint.\n", "text"),
        (b"\n<!DOCTYPE html><html><title>Google Drive</title>", "a web page"),
        (bytes(range(1, 100)) + b"\0", "unknown format"),
        (torch_file(3), "one int"),
        (torch_file({"epoch": 3, "lr": 0.1}), "no tensors"),
        (pickle.dumps({}), "no tensors"),
        (b"PK\x05\x06" + bytes(18), "unknown format"),
    ],
)
def test_other_files_are_called_what_they_are(data: bytes, words: str, path: Path) -> None:
    path.write_bytes(data)
    with pytest.raises(NotACheckpointError, match=words):
        read(path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(CheckpointError, match=str(path)):
            read(path)


@settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(FILES)), share=st.floats(0.03, 0.999))
def test_a_truncated_file_is_damaged(kind: str, share: float, path: Path) -> None:
    path.write_bytes(FILES[kind][: int(len(FILES[kind]) * share)])
    # Cut inside the name of a class, a file asks for a class that does not exist.
    with pytest.raises((DamagedCheckpointError, UnsafeCheckpointError)) as caught:
        read(path)
    if kind in ("mmseg", "detectron2", "safetensors"):
        assert caught.type is DamagedCheckpointError


@settings(max_examples=300, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(FILES)), at=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_changed_byte_never_surfaces_as_another_error(kind: str, at: float, value: int, path: Path) -> None:
    data = bytearray(FILES[kind])
    data[int(at * len(data))] = value
    path.write_bytes(data)
    try:
        read(path)
    except CheckpointError as error:
        assert str(path) in error.message  # noqa: PT017, either outcome is right
