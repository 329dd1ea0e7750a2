"""`semask_cli.load` and `build_model`: what the arguments become."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import semask_cli
from semask_cli.errors import DeviceError, UnknownModelError, UsageError
from semask_cli.inference.device import computing
from semask_cli.ops.cpu import multiplies_int8
from semask_cli.zoo import load_zoo
from tests.support.published import write_zoo

MODEL = "toy-street-fpn"


def test_defaults_are_the_rows() -> None:
    segmenter, spec = semask_cli.load(MODEL, device="cpu"), load_zoo().find(MODEL)
    config = segmenter.config
    assert (config.mode, config.crop, config.stride) == ("whole", spec.crop, spec.stride)
    assert (config.scales, config.flip) == (None, False)
    assert (segmenter.device, segmenter.precision) == (torch.device("cpu"), "fp32")
    assert segmenter.digest
    assert repr(segmenter) == "<Segmenter of toy-street-fpn on cpu in fp32>"


@pytest.mark.parametrize("settings", [{"crop": 0}, {"stride": 0}, {"memory_budget": 0}, {"mode": ""}, {"scales": []}])
def test_nothing_is_not_the_same_as_not_given(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        semask_cli.load(MODEL, device="cpu", **{"mode": "slide"} | settings)


@pytest.mark.parametrize(
    "settings",
    [
        *({"scales": scales} for scales in ("x", "12", ["a"], 1.0, [None])),
        *({"crop": crop} for crop in ("x", 64.0, (64.0, 64), (64,), (64, 64, 64))),
        *({"stride": stride} for stride in ("x", (64,))),
        *({"memory_budget": budget} for budget in (-1, "1GB", 1.5)),
        {"flip": "no"},
    ],
)
def test_arguments_of_another_type_are_refused_in_words(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        semask_cli.load(MODEL, device="cpu", mode="slide", **settings)


def test_a_path_is_not_the_name_of_a_model() -> None:
    with pytest.raises(UsageError, match="is no name"):
        semask_cli.load(Path("swin-t.pth"))  # type: ignore[arg-type]


@pytest.mark.parametrize("one", ["photo.jpg", b"photo", Path("photo.jpg")])
def test_one_image_is_not_several(one: Any) -> None:
    with pytest.raises(UsageError, match="takes several images, not one"):
        semask_cli.load(MODEL, device="cpu").predict_each(one)


def test_a_crop_of_ones_own_overlaps_by_a_third() -> None:
    config = semask_cli.load(MODEL, device="cpu", mode="slide", crop=(96, 120)).config
    assert (config.crop, config.stride) == ((96, 120), (64, 80))
    config = semask_cli.load(MODEL, device="cpu", mode="slide", crop=96, stride=50).config
    assert (config.crop, config.stride) == ((96, 96), (50, 50))


def test_scales() -> None:
    published = semask_cli.load(MODEL, device="cpu", scales="published").config.scales
    assert published == load_zoo().find(MODEL).ms_scales
    assert semask_cli.load(MODEL, device="cpu", scales="native").config.scales == "native"
    assert semask_cli.load(MODEL, device="cpu", scales=[1, 2]).config.scales == (1.0, 2.0)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "callers",
    [
        lambda: torch.device("meta"),
        lambda: default_dtype(torch.bfloat16),
        lambda: torch.autocast("cpu", torch.bfloat16),
    ],
    ids=["device", "dtype", "autocast"],
)
def test_what_a_caller_sets_for_all_of_torch_does_not_apply(
    callers: Callable[[], AbstractContextManager[None]],
) -> None:
    # Of a size that no other test has: tables of a size are kept.
    pixels = np.random.default_rng(0).integers(0, 256, (83, 117, 3), np.uint8)
    with callers():
        segmenter = semask_cli.load("toy-street-m2f", device="cpu", scales=(0.5, 1))
        scores, labels = segmenter.scores(pixels), segmenter.predict(pixels).labels
        assert semask_cli.build_model(MODEL).backbone.norm0.weight.dtype == torch.float32  # type: ignore[union-attr]
    expected = segmenter.scores(pixels)
    assert torch.equal(scores, expected)
    assert np.array_equal(labels, expected.argmax(0))


def test_a_segmenter_can_be_sent_to_another_process() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    segmenter = semask_cli.load(MODEL, device="cpu")
    there = pickle.loads(pickle.dumps(segmenter))
    assert torch.equal(there.scores(pixels), segmenter.scores(pixels))
    assert there.settings == segmenter.settings


def test_random_weights_have_no_digest() -> None:
    segmenter = semask_cli.load(MODEL, device="cpu", random_weights=True)
    assert segmenter.digest == ""
    assert not any(parameter.requires_grad for parameter in segmenter.network.parameters())


def test_weights_of_ones_own_are_told_from_the_rows() -> None:
    bundled = load_zoo().find(MODEL).checkpoint
    assert bundled is not None
    assert bundled.path is not None
    rows = semask_cli.load(MODEL, device="cpu")
    assert "own_checkpoint" not in rows.settings
    own = semask_cli.load(MODEL, device="cpu", checkpoint=bundled.path)
    assert own.settings == {**rows.settings, "own_checkpoint": True}


def test_random_weights_exclude_a_checkpoint() -> None:
    with pytest.raises(UsageError, match=r"random weights, or those of mine\.pth"):
        semask_cli.load(MODEL, device="cpu", random_weights=True, checkpoint="mine.pth")


@pytest.mark.skipif(not multiplies_int8(), reason="needs VNNI or AMX")
def test_random_weights_in_int8_are_calibrated_on_noise() -> None:
    pixels, answers = torch.randn(1, 3, 64, 64), []
    for precision in ("fp32", "int8"):
        torch.manual_seed(0)
        segmenter = semask_cli.load(MODEL, device="cpu", precision=precision, random_weights=True)  # type: ignore[arg-type]
        with torch.inference_mode(), computing(segmenter.precision, segmenter.device):
            answers.append(segmenter.network(pixels))
    assert segmenter.quantization == ""
    assert 0 < (answers[0] - answers[1]).norm() < 0.05 * answers[0].norm()


def test_a_row_has_as_many_classes_as_its_dataset(tmp_path: Path) -> None:
    zoo = write_zoo(tmp_path / "zoo.toml")
    with pytest.raises(UsageError, match="small has 5 classes, but ade20k has 150"):
        semask_cli.load("small", zoo=zoo, device="cpu", random_weights=True)


def test_cuda_graphs_need_a_gpu() -> None:
    with pytest.raises(DeviceError, match="CUDA graphs need a CUDA device"):
        semask_cli.load(MODEL, device="cpu", cuda_graphs=True)


def test_a_bare_network() -> None:
    network = semask_cli.build_model(MODEL)
    assert not network.training
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 33, 50)).shape == (2, load_zoo().find(MODEL).num_classes, 9, 13)
    with pytest.raises(UnknownModelError):
        semask_cli.build_model("toy-street-fnp")


@pytest.mark.slow
def test_a_model_is_loaded_and_run_without_torchs_compiler_and_libraries_of_extras() -> None:
    """Each of them would be a second or two before the first image."""
    heavy = {"torch._dynamo", "torch._inductor", "sympy", "timm", "torchvision", "scipy", "openvino"}
    code = f"""
import sys, numpy, semask_cli
for model in ("toy-street-fpn", "toy-street-m2f"):
    semask_cli.load(model, device="cpu").predict(numpy.zeros((64, 96, 3), numpy.uint8))
print({heavy} & set(sys.modules))
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "set()"
