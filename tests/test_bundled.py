"""The bundled models: what they score on scenes that they have not seen, whole and in every other way of looking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from semask_cli import load
from semask_cli.evaluation.metrics import confusion, metrics
from semask_cli.inference.segmenter import Segmenter
from semask_cli.io.resources import project_file
from tests.support.command_line import Run
from toy_street import TEST_SEEDS, render

FLOORS = {"toy-street-fpn": 79.0, "toy-street-m2f": 81.5}
"""mIoU in percent that a model must reach on the scenes below, whoever trains it anew."""


@pytest.fixture(scope="module", params=FLOORS)
def model(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def miou_of() -> Callable[[Segmenter], float]:
    scenes = [render(seed) for seed in TEST_SEEDS[:12]]

    def miou(segmenter: Segmenter) -> float:
        counts = [confusion(scene.labels, segmenter.predict(scene.image).labels, 19) for scene in scenes]
        return metrics(np.sum(counts, axis=0), "mmseg").miou

    return miou


@pytest.fixture(scope="module")
def plain(model: str, miou_of: Callable[[Segmenter], float]) -> float:
    """mIoU at single scale in float32."""
    return miou_of(load(model, device="cpu"))


def test_miou(model: str, plain: float) -> None:
    assert plain >= FLOORS[model]


@pytest.mark.slow
def test_ms_flip_is_not_worse(model: str, miou_of: Callable[[Segmenter], float], plain: float) -> None:
    assert miou_of(load(model, device="cpu", scales="published", flip=True)) > plain - 0.5


def test_sliding_windows_are_not_worse(model: str, miou_of: Callable[[Segmenter], float], plain: float) -> None:
    assert miou_of(load(model, device="cpu", mode="slide")) > plain - 0.5


def test_bf16_costs_nothing(model: str, miou_of: Callable[[Segmenter], float], plain: float) -> None:
    assert miou_of(load(model, device="cpu", precision="bf16")) == pytest.approx(plain, abs=0.3)


def test_bf16_gives_the_same_labels(model: str) -> None:
    plain, half = load(model, device="cpu"), load(model, device="cpu", precision="bf16")
    images = [render(seed).image for seed in TEST_SEEDS[:4]]
    equal = [plain.predict(image).labels == half.predict(image).labels for image in images]
    assert np.mean(equal) >= 0.99


def test_semantic_attention_is_used(model: str, miou_of: Callable[[Segmenter], float], plain: float) -> None:
    segmenter = load(model, device="cpu")
    with torch.no_grad():
        for name, parameter in segmenter.network.named_parameters():
            if name.endswith("gamma"):
                parameter.zero_()
    assert miou_of(segmenter) < plain - 0.2  # on 60 scenes the one loses 1.3, the other 0.9


def test_an_image_of_an_odd_size_from_the_command_line(model: str, tmp_path: Path, semask: Run) -> None:
    """As the Mask2Former looks at it, it becomes 256 x 390, padded to 256 x 416."""
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
