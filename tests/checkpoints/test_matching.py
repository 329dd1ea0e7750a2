"""A file's tensors fit one row of the zoo, to the last name and shape, and an error says which."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from semask_cli.checkpoints.matching import (
    COUNTER,
    INDEX,
    LOSS_WEIGHT,
    check_numbers,
    network_for,
    on_meta,
    rows_that_fit,
)
from semask_cli.errors import DamagedCheckpointError, MissingTensorsError, TensorShapeError
from semask_cli.zoo import load_zoo

ZOO = load_zoo()
SPEC = ZOO.find("swin-t-fpn")
PATH = Path("weights.pth")


def tensors_of(name: str) -> dict[str, Tensor]:
    """What a published file of the row holds: names and shapes, without memory."""
    return dict(on_meta(ZOO.find(name)).state_dict())


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return tensors_of(SPEC.name)


@pytest.mark.parametrize("name", ZOO.models)
def test_a_row_is_told_by_its_tensors(name: str) -> None:
    assert rows_that_fit(tensors_of(name), ZOO) == [name]


def test_what_follows_or_serves_training_may_be_absent_or_left_over(tensors: dict[str, Tensor]) -> None:
    held = {name: tensor for name, tensor in tensors.items() if not name.endswith((INDEX, COUNTER))}
    assert len(held) < len(tensors)
    held[LOSS_WEIGHT] = torch.ones(151)
    spec, network = network_for(held, SPEC, ZOO, path=PATH)
    assert spec == SPEC
    assert all(tensor.is_meta for name, tensor in network.state_dict().items() if not name.endswith(INDEX))


def test_a_missing_tensor(tensors: dict[str, Tensor]) -> None:
    del tensors["backbone.layers.2.blocks.3.mlp.fc1.bias"]
    with pytest.raises(MissingTensorsError) as caught:
        network_for(tensors, SPEC, ZOO, path=PATH)
    assert caught.value.message == (
        "weights.pth is not a checkpoint of swin-t-fpn:\n  1 missing: backbone.layers.2.blocks.3.mlp.fc1.bias"
    )
    assert caught.value.suggestion == "The file fits no model of the zoo."


def test_a_left_over_tensor(tensors: dict[str, Tensor]) -> None:
    tensors["auxiliary_head.conv_seg.bias"] = torch.zeros(150)
    with pytest.raises(MissingTensorsError, match=r"1 unknown to the model: auxiliary_head\.conv_seg\.bias"):
        network_for(tensors, SPEC, ZOO, path=PATH)


@pytest.mark.parametrize("name", ["decode_head.conv_seg.bias", "backbone.layers.0.blocks.0.attn." + INDEX])
def test_a_wrong_shape(name: str, tensors: dict[str, Tensor]) -> None:
    shape = tuple(tensors[name].shape)
    tensors[name] = torch.zeros(3)
    with pytest.raises(TensorShapeError) as caught:
        network_for(tensors, SPEC, ZOO, path=PATH)
    assert f"1 of another shape: {name} (3,) instead of {shape}" in caught.value.message


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("swin-l-m2f-fapn", "swin-l-m2f-msfapn"),  # the authors' table had these two mixed up
        ("swin-l-m2f-msfapn", "swin-l-m2f-fapn"),
        ("swin-t-fpn-cityscapes", "swin-t-fpn"),
        ("swin-l-m2f", "swin-l-m2f-cityscapes"),
        ("swin-s-fpn", "swin-s-fpn-coco-stuff10k"),
    ],
)
def test_the_error_names_the_row_that_fits_in_a_few_lines(asked: str, given: str) -> None:
    with pytest.raises((MissingTensorsError, TensorShapeError)) as caught:
        network_for(tensors_of(given), ZOO.find(asked), ZOO, path=PATH)
    assert caught.value.suggestion == f"The file fits {given}."
    assert len(caught.value.message.splitlines()) <= 4
    assert len(caught.value.message) < 1000


def test_coco_stuff_files_may_hold_either_count_of_semantic_classes() -> None:
    row = ZOO.find("swin-t-fpn-coco-stuff10k")
    assert (row.backbone.semantic_classes, row.num_classes) == (150, 171)
    as_171 = dataclasses.replace(row, backbone=dataclasses.replace(row.backbone, semantic_classes=171))
    for variant in (row, as_171):
        spec, network = network_for(dict(on_meta(variant).state_dict()), row, ZOO, path=PATH)
        assert spec == variant
        assert network.backbone.layers[0].semantic_layer.class_injection[0].mlp_cls_q.out_features == (
            variant.backbone.semantic_classes
        )
    other = dataclasses.replace(row, backbone=dataclasses.replace(row.backbone, semantic_classes=160))
    with pytest.raises(TensorShapeError):
        network_for(dict(on_meta(other).state_dict()), row, ZOO, path=PATH)


@pytest.mark.parametrize("weight", [torch.zeros(2, dtype=torch.float8_e4m3fn), torch.zeros(2, dtype=torch.uint16)])
def test_weights_in_types_without_arithmetic_are_refused_by_name(weight: Tensor) -> None:
    with pytest.raises(TensorShapeError, match=rf"norm\.weight holds {str(weight.dtype).removeprefix('torch.')}, "):
        check_numbers({"norm.weight": weight}, path=PATH)


def test_weights_that_are_infinite_in_the_network_are_refused() -> None:
    check_numbers({"norm.weight": torch.tensor([3e38, -1.0], dtype=torch.float64)}, path=PATH)
    with pytest.raises(DamagedCheckpointError, match=r"norm\.weight holds numbers that are infinite or NaN"):
        check_numbers({"norm.weight": torch.tensor([1e300, -1.0], dtype=torch.float64)}, path=PATH)
