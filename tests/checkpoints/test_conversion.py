"""A published file becomes a mapped one, whole or not at all, and a file that cannot be used leaves nothing behind."""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from semask_cli.checkpoints import store
from semask_cli.checkpoints.conversion import convert
from semask_cli.errors import (
    CheckpointError,
    DamagedCheckpointError,
    DigestError,
    MissingTensorsError,
    NotACheckpointError,
    OutputError,
    TensorShapeError,
    UnsafeCheckpointError,
)
from semask_cli.zoo import ModelSpec, Zoo, load_zoo
from tests.support.forking import exit_code, forked
from tests.support.published import mmseg_file, weights, write_zoo


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_weights_alone_are_kept_with_a_sidecar(file: Path, spec: ModelSpec, zoo: Zoo, cache_folder: Path) -> None:
    target = convert(file, spec, zoo)
    assert target == store.on_disk(spec) == cache_folder / "checkpoints/small@first.safetensors"
    kept, published = load_file(target), weights(spec)
    assert kept.keys() == published.keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in published.items())
    assert target.stat().st_size < 1_000_000 < file.stat().st_size
    assert json.loads(target.with_suffix(".json").read_text()) == {
        "schema_version": 2,
        "row": "small",
        "label": "first",
        "source": "published.pth",
        "source_sha256": store.sha256(file),
        "classes": ["wall", "building"],
        "semantic_classes": 5,
        "semask": "0.1.0",
        "sha256": store.sha256(target),
        "verified": store.fingerprint(target),
    }
    assert files_in(cache_folder) == ["small@first.json", "small@first.safetensors"]


def test_tensors_that_share_memory_and_training_leftovers(spec: ModelSpec, zoo: Zoo, tmp_path: Path) -> None:
    tensors = weights(spec)
    norm = "backbone.layers.0.blocks.0.norm{}.weight".format
    tensors[norm(2)] = tensors[norm(1)]
    both = torch.randn(2, 8)
    tensors[norm(1).replace("weight", "bias")], tensors[norm(2).replace("weight", "bias")] = both
    tensors["criterion.empty_weight"] = torch.ones(6)
    tensors["backbone.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16, dtype=torch.int64)
    kept = load_file(convert(mmseg_file(tmp_path / "file.pth", tensors), spec, zoo))
    assert kept.keys() == weights(spec).keys()
    assert all(torch.equal(kept[name], tensors[name]) for name in kept)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_defect_40_weights_that_are_no_finite_numbers_are_refused(
    tmp_path: Path, cache_folder: Path, spec: ModelSpec, zoo: Zoo, number: float
) -> None:
    tensors = weights(spec)
    tensors["decode_head.conv_seg.bias"] = torch.full((5,), number)
    with pytest.raises(DamagedCheckpointError, match=r"decode_head\.conv_seg\.bias holds numbers that are infinite"):
        convert(mmseg_file(tmp_path / "file.pth", tensors), spec, zoo)
    assert files_in(cache_folder) == []


@pytest.mark.parametrize("in_place", [False, True], ids=["another file", "the same file"])
def test_defect_13_what_is_swapped_after_its_digest_was_taken_is_never_adopted(
    tmp_path: Path, cache_folder: Path, spec: ModelSpec, zoo: Zoo, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    source, other = mmseg_file(tmp_path / "file.pth", weights(spec)), tmp_path / "other.pth"
    mmseg_file(other, {name: tensor + 1 for name, tensor in weights(spec).items()})
    check = store.check_digest

    def check_and_swap(spec: ModelSpec, digest: str, path: Path) -> None:
        check(spec, digest, path)
        source.write_bytes(other.read_bytes()) if in_place else other.rename(source)

    monkeypatch.setattr(store, "check_digest", check_and_swap)
    with pytest.raises(CheckpointError, match=r"changed while it was read|is damaged"):
        convert(source, spec, zoo)
    assert files_in(cache_folder) == []


def remove_one(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["decode_head.conv_seg.bias"]


def reshape_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors["decode_head.conv_seg.bias"] = torch.zeros(6)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100_000])


def run_code(path: Path) -> None:
    path.write_bytes(pickle.dumps({"model": Mischief(path.with_name("it-ran"))}))


class Mischief:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


BAD_FILES: list[tuple[type[CheckpointError], int, Callable[[dict], None] | None, Callable[[Path], object] | None]] = [
    (MissingTensorsError, 11, remove_one, None),
    (TensorShapeError, 12, reshape_one, None),
    (DamagedCheckpointError, 13, None, cut_short),
    (UnsafeCheckpointError, 14, None, run_code),
    (NotACheckpointError, 15, None, lambda path: path.write_text("These are not the weights you are looking for.\n")),
]


@pytest.mark.parametrize(("error", "code", "change", "spoil"), BAD_FILES, ids=[e.__name__ for e, *_ in BAD_FILES])
def test_a_bad_file_has_its_own_exit_code_and_leaves_nothing(
    error: type[CheckpointError],
    code: int,
    change: Callable[[dict], None] | None,
    spoil: Callable[[Path], object] | None,
    spec: ModelSpec,
    zoo: Zoo,
    tmp_path: Path,
    cache_folder: Path,
) -> None:
    tensors = weights(spec)
    if change:
        change(tensors)
    path = mmseg_file(tmp_path / "bad.pth", tensors)
    if spoil:
        spoil(path)
    with pytest.raises(error) as caught:
        convert(path, spec, zoo)
    assert caught.value.exit_code == code
    assert str(path) in caught.value.message
    assert not (tmp_path / "it-ran").exists()
    assert files_in(cache_folder) == []
    assert store.on_disk(spec) is None


@pytest.mark.forks
@pytest.mark.parametrize("moment", range(3))
def test_a_kill_at_any_moment_leaves_a_whole_pair_or_none(
    moment: int, file: Path, spec: ModelSpec, zoo: Zoo, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A conversion renames twice: it is killed before the first, between the two, and after the second.
    renames = 0
    rename = Path.replace

    def killed_in_time(self: Path, target: Path) -> Path:
        nonlocal renames
        if renames == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        renames += 1
        return rename(self, target)

    def convert_until_killed() -> None:
        monkeypatch.setattr(Path, "replace", killed_in_time)
        convert(file, spec, zoo)

    assert exit_code(forked(convert_until_killed)) == (-signal.SIGKILL if moment < 2 else 0)
    assert (store.on_disk(spec) is not None) == (moment == 2)
    convert(file, spec, zoo)
    assert load_file(store.converted_path(spec)).keys() == weights(spec).keys()
    assert files_in(cache_folder) == ["small@first.json", "small@first.safetensors"]


@pytest.mark.forks
def test_a_full_disk_leaves_nothing(file: Path, spec: ModelSpec, zoo: Zoo, cache_folder: Path) -> None:
    def convert_without_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(OutputError, match=r"cannot write .*small@first\.safetensors.*too large"):
            convert(file, spec, zoo)

    assert exit_code(forked(convert_without_room)) == 0
    assert files_in(cache_folder) == []


def test_the_first_digest_is_trusted_and_then_held_to(file: Path, spec: ModelSpec, zoo: Zoo, tmp_path: Path) -> None:
    first = store.sha256(file)
    convert(file, spec, zoo).unlink()
    assert store.on_disk(spec) is None
    other = mmseg_file(tmp_path / "replaced.pth", {name: 2 * tensor for name, tensor in weights(spec).items()})
    with pytest.raises(DigestError) as caught:
        convert(other, spec, zoo)
    assert {first, store.sha256(other)} <= set(caught.value.message.replace(",", " ").split())
    assert str(store.sidecar_path(spec)) in caught.value.suggestion
    assert store.on_disk(spec) is None
    assert convert(file, spec, zoo) == store.on_disk(spec)
    store.sidecar_path(spec).unlink()  # the way out that the error names
    assert convert(other, spec, zoo) == store.on_disk(spec)


def test_the_digest_of_the_zoo_is_checked_before_the_file_is_opened(
    spec: ModelSpec, tmp_path: Path, file: Path
) -> None:
    listed = load_zoo(write_zoo(tmp_path / "listed.toml", sha256=store.sha256(file)))
    assert convert(file, listed.find("small"), listed)
    run_code(file)
    with pytest.raises(DigestError):  # an opened file would be an UnsafeCheckpointError
        convert(file, listed.find("small"), listed)
    relisted = load_zoo(write_zoo(tmp_path / "relisted.toml", sha256="0" * 64))
    assert store.on_disk(relisted.find("small")) is None  # what is cached came from another file
