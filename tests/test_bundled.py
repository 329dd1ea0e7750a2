"""The bundled models: what they score on scenes that they have not seen, whole and in every other way of looking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open

from semask_cli import load
from semask_cli.evaluation.metrics import class_totals, confusion, metrics
from semask_cli.inference.segmenter import Segmenter
from semask_cli.io.resources import project_file
from semask_cli.ops.cpu import multiplies_int8
from tests.support.command_line import Run
from toy_street import TEST_SEEDS, Scene, render

Labels = NDArray[np.uint8]

FLOORS = {"toy-street-fpn": 79.0, "toy-street-m2f": 81.5}
"""mIoU in percent that a model must reach on the scenes below, whoever trains it anew."""


@pytest.fixture(scope="module", params=FLOORS)
def model(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def plain(model: str, scenes: list[Scene]) -> list[Labels]:
    """Labels at single scale in float32."""
    return predicted(load(model, device="cpu"), scenes)


@pytest.fixture(scope="module")
def bf16(model: str, scenes: list[Scene]) -> list[Labels]:
    return predicted(load(model, device="cpu", precision="bf16"), scenes)


def predicted(segmenter: Segmenter, scenes: list[Scene]) -> list[Labels]:
    return [segmenter.predict(scene.image).labels for scene in scenes]


def miou(scenes: list[Scene], labels: list[Labels]) -> float:
    """In percent."""
    counts = [confusion(scene.labels, one, 19) for scene, one in zip(scenes, labels, strict=True)]
    return metrics(class_totals(np.sum(counts, axis=0)), "mmseg").miou


def test_miou(model: str, scenes: list[Scene], plain: list[Labels]) -> None:
    assert miou(scenes, plain) >= FLOORS[model]


@pytest.mark.slow
def test_ms_flip_is_not_worse(model: str, scenes: list[Scene], plain: list[Labels]) -> None:
    few = scenes[:3]  # of twelve views each
    labels = predicted(load(model, device="cpu", scales="published", flip=True), few)
    assert miou(few, labels) > miou(few, plain[:3]) - 0.5


def test_sliding_windows_are_not_worse(model: str, scenes: list[Scene], plain: list[Labels]) -> None:
    labels = predicted(load(model, device="cpu", mode="slide"), scenes)
    assert miou(scenes, labels) > miou(scenes, plain) - 0.5


def test_bf16_costs_nothing(scenes: list[Scene], plain: list[Labels], bf16: list[Labels]) -> None:
    assert miou(scenes, bf16) == pytest.approx(miou(scenes, plain), abs=0.3)
    assert np.mean([one == other for one, other in zip(plain[:4], bf16[:4], strict=True)]) >= 0.99


@pytest.mark.skipif(not multiplies_int8(), reason="needs VNNI or AMX")
def test_int8_costs_nothing(model: str, scenes: list[Scene], plain: list[Labels]) -> None:
    int8 = predicted(load(model, device="cpu", precision="int8"), scenes)
    assert 0.995 <= np.mean([one == other for one, other in zip(plain, int8, strict=True)]) < 1
    assert miou(scenes, int8) == pytest.approx(miou(scenes, plain), abs=0.2)


def test_semantic_attention_is_used(model: str, scenes: list[Scene], plain: list[Labels]) -> None:
    segmenter = load(model, device="cpu")
    with torch.no_grad():
        for name, parameter in segmenter.network.named_parameters():
            if name.endswith("gamma"):
                parameter.zero_()
    # On 60 scenes the one loses 1.3, the other 0.9.
    assert miou(scenes, predicted(segmenter, scenes)) < miou(scenes, plain) - 0.2


@pytest.mark.slow
def test_an_image_of_an_odd_size_from_the_command_line(model: str, tmp_path: Path, semask: Run) -> None:
    """For the Mask2Former it becomes 256 x 390, padded to 256 x 416."""
    scene = render(TEST_SEEDS[0])
    labels = scene.labels[3:, 61:450]
    Image.fromarray(scene.image[3:, 61:450]).save(tmp_path / "street.png")
    semask("predict", "street.png", "--model", model, "--output", "masks", "--device", "cpu")
    mask = np.asarray(Image.open(tmp_path / "masks/street.png"))
    assert mask.shape == labels.shape
    counted = labels != 255
    assert (mask[counted] == labels[counted]).mean() > 0.8


def test_weights_are_small_and_half_precision(model: str) -> None:
    path = project_file(f"bundled/{model}.safetensors")
    assert path.stat().st_size <= 3_000_000
    with safe_open(path, "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118
