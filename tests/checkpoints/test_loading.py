"""A row becomes a network that computes what the file's weights say, from every kind of file."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from semask_cli.checkpoints import store
from semask_cli.checkpoints.conversion import convert
from semask_cli.checkpoints.loading import assemble, load_network
from semask_cli.checkpoints.matching import INDEX, on_meta
from semask_cli.errors import CheckpointError, DamagedCheckpointError, OfflineError
from semask_cli.models.build import build_model
from semask_cli.models.network import Network
from semask_cli.zoo import ModelSpec, Zoo, load_zoo
from tests.support.published import mmseg_file, weights

CPU = torch.device("cpu")
PIXELS = torch.randn(1, 3, 70, 90, generator=torch.Generator().manual_seed(0))


def expected_logits(spec: ModelSpec, tensors: dict[str, Tensor]) -> Tensor:
    network = build_model(spec)
    left_out = network.load_state_dict(tensors, strict=False)
    assert all(name.endswith(INDEX) for name in left_out.missing_keys)
    assert not left_out.unexpected_keys
    return logits(network)


@torch.no_grad()
def logits(network: Network) -> Tensor:
    return network(PIXELS)


def test_the_converted_file(file: Path, spec: ModelSpec, zoo: Zoo) -> None:
    convert(file, spec, zoo)
    loaded = load_network(spec, zoo, device=CPU)
    network, adapted, digest = loaded.network, loaded.spec, loaded.digest
    assert torch.equal(logits(network), expected_logits(spec, weights(spec)))
    assert adapted == spec
    assert digest == store.sha256(file)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_a_file_of_the_user_needs_no_cache(
    ending: str, spec: ModelSpec, zoo: Zoo, tmp_path: Path, cache_folder: Path
) -> None:
    path = tmp_path / f"mine{ending}"
    if ending == ".pth":
        mmseg_file(path, weights(spec))
    else:
        save_file(weights(spec), path)
    loaded = load_network(spec, zoo, checkpoint=path, device=CPU)
    network, digest = loaded.network, loaded.digest
    assert torch.equal(logits(network), expected_logits(spec, weights(spec)))
    assert digest == store.sha256(path)
    assert not cache_folder.exists()


def test_half_precision_files_compute_in_float32(spec: ModelSpec, zoo: Zoo, tmp_path: Path) -> None:
    halves = {name: t.half() if t.is_floating_point() else t for name, t in weights(spec).items()}
    save_file(halves, tmp_path / "half.safetensors")
    network = load_network(spec, zoo, checkpoint=tmp_path / "half.safetensors", device=CPU).network
    assert torch.equal(logits(network), expected_logits(spec, halves))


def test_a_file_with_the_other_count_of_semantic_classes(zoo: Zoo, tmp_path: Path) -> None:
    row = zoo.find("other")  # 5 semantic classes under a head of 7
    as_7 = dataclasses.replace(row, backbone=dataclasses.replace(row.backbone, semantic_classes=7))
    path = mmseg_file(tmp_path / "other.pth", weights(as_7))
    loaded = load_network(row, zoo, checkpoint=path, device=CPU)
    network, adapted = loaded.network, loaded.spec
    assert adapted == as_7
    assert torch.equal(logits(network), expected_logits(as_7, weights(as_7)))


def test_a_bundled_file(spec: ModelSpec, zoo_file: Path, tmp_path: Path) -> None:
    save_file(weights(spec), tmp_path / "bundled.safetensors")
    text = zoo_file.read_text().replace('drive_id = "small-drive-id"', 'path = "bundled.safetensors"')
    (tmp_path / "bundled.toml").write_text(text)
    zoo = load_zoo(tmp_path / "bundled.toml")
    digest = load_network(zoo.find("small"), zoo, device=CPU).digest
    assert digest == store.sha256(tmp_path / "bundled.safetensors")
    (tmp_path / "bundled.safetensors").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        load_network(zoo.find("small"), zoo, device=CPU)


def test_a_row_without_a_file(spec: ModelSpec, zoo: Zoo) -> None:
    with pytest.raises(CheckpointError, match="no file is published for small") as caught:
        load_network(dataclasses.replace(spec, checkpoint=None), zoo, device=CPU)
    assert "--checkpoint" in caught.value.suggestion


def test_offline_there_are_three_ways_out(spec: ModelSpec, zoo: Zoo) -> None:
    with pytest.raises(OfflineError) as caught:
        load_network(spec, zoo, device=CPU)
    ways = caught.value.suggestion.splitlines()
    assert len(ways) == 3
    assert ways[0].endswith("semask download small@first")
    assert "https://drive.google.com/file/d/small-drive-id/view" in ways[1]
    assert ways[1].endswith("semask download small@first --from FILE")
    assert ways[2].endswith("--checkpoint FILE")


def test_a_damaged_cache_says_so(file: Path, spec: ModelSpec, zoo: Zoo) -> None:
    target = convert(file, spec, zoo)
    target.write_bytes(target.read_bytes()[:-1])
    with pytest.raises(DamagedCheckpointError, match=str(target)) as caught:
        load_network(spec, zoo, device=CPU)
    assert "Delete it" in caught.value.suggestion
    target.unlink()
    assert store.on_disk(spec) is None


@pytest.mark.parametrize("name", load_zoo().models)
def test_no_tensor_of_any_row_stays_without_memory(name: str) -> None:
    network = on_meta(load_zoo().find(name))
    # torch.empty touches no memory: a row of 222 M parameters costs nothing here.
    assemble(network, {n: torch.empty(t.shape) for n, t in network.state_dict().items() if not n.endswith(INDEX)})
    assert not [n for n, tensor in (*network.named_parameters(), *network.named_buffers()) if tensor.is_meta]


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be removed there")
def test_weights_are_mapped_and_stay_when_the_file_goes(file: Path, spec: ModelSpec, zoo: Zoo) -> None:
    target = convert(file, spec, zoo)
    network = load_network(spec, zoo, device=CPU).network
    if sys.platform == "linux":
        assert str(target) in Path("/proc/self/maps").read_text()
    target.unlink()
    assert torch.equal(logits(network), expected_logits(spec, weights(spec)))
