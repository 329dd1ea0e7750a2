"""The network in OpenVINO gives the labels of torch, whatever came before, and refuses what it does not run."""

from __future__ import annotations

import logging
import pickle
import sys
from typing import Any

import numpy as np
import pytest
import torch

import semask_cli
from semask_cli.errors import DeviceError, SemaskError, UsageError
from semask_cli.inference import openvino as room
from semask_cli.inference.openvino import OpenVINO, check_engine
from semask_cli.io.resources import project_file
from semask_cli.ops.cpu import multiplies_bf16
from tests.support.toy_networks import tiny_network

MODEL = "toy-street-fpn"
SCENES = sorted((project_file("demo") / "images").iterdir())[:2]
CPU = torch.device("cpu")


@pytest.fixture
def converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph takes seconds: engines of one network at one size share it."""
    for name in ("export", "convert_to_openvino"):
        convert, kept = getattr(room, name), []

        def once(*arguments: object, convert: Any = convert, kept: list[object] = kept) -> object:
            kept[:] = kept or [convert(*arguments)]
            return kept[0]

        monkeypatch.setattr(room, name, once)


@pytest.mark.slow
@pytest.mark.usefixtures("converted_once")
def test_labels_are_torch_s() -> None:
    """Windows of one size, over images of another. Settings, which journals go by, say what ran."""
    options = {"mode": "slide", "crop": (64, 96), "stride": (64, 96), "scales": (0.5,), "device": "cpu"}
    ours = semask_cli.load(MODEL, **options)
    other = semask_cli.load(MODEL, engine="openvino", **options)
    for scene in SCENES:
        expected, found = ours.predict(scene), other.predict(scene)
        assert np.mean(found.labels == expected.labels) >= 0.9999
        np.testing.assert_allclose(other.scores(scene), ours.scores(scene), atol=2e-4)
    assert len(other._batches._compiled._compiled) == 1
    assert found.info.engine == "openvino"
    assert "openvino" in found.info.versions
    assert {key for key in other.settings if other.settings[key] != ours.settings.get(key)} == {"engine", "versions"}
    if multiplies_bf16():
        in_bf16 = semask_cli.load(MODEL, engine="openvino", precision="bf16", **options)
        assert 1e-4 < (in_bf16.scores(scene) - ours.scores(scene)).abs().max() < 0.05
        assert np.mean(in_bf16.predict(scene).labels == expected.labels) >= 0.995


@pytest.mark.slow
def test_a_size_that_nothing_divides() -> None:
    network = tiny_network("swin-l-m2f").requires_grad_(False)
    network.prepare_for_cpu_()  # weights lie as torch's convolutions take them
    pixels = torch.randn(1, 3, 45, 70)
    with torch.inference_mode():
        [found] = OpenVINO(network, "fp32").predict(pixels)
        [expected] = network.predict(pixels)
    assert found.size == expected.size == (45, 70)
    maps, expected_maps = (answer.class_map(range(45), range(70)).maps for answer in (found, expected))
    assert (maps - expected_maps).abs().max() < 2e-5 * (expected_maps.max() - expected_maps.min())


def test_the_sizes_that_came_last_are_kept(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    compiled = []

    class Compiled:
        def __init__(self, network: object, shape: torch.Size, hint: str) -> None:
            compiled.append(shape[3])

        def outputs(self, pixels: torch.Tensor) -> torch.Tensor:
            assert engine._lock.locked(), "a compiled network has one input, which no other thread may overwrite"
            return pixels

    monkeypatch.setattr(room, "_Compiled", Compiled)
    monkeypatch.setattr(room, "MAX_SIZES", 2)
    engine = pickle.loads(pickle.dumps(OpenVINO(tiny_network("swin-t-fpn"), "fp32")))
    with caplog.at_level(logging.WARNING):
        for width in (32, 64, 64, 32):
            engine.predict(torch.zeros(1, 3, 32, width))
        assert not caplog.records
        for width in (96, 32, 64):
            engine.predict(torch.zeros(1, 3, 32, width))
    assert compiled == [32, 64, 96, 64]
    assert "--mode slide" in caplog.text


def test_a_network_that_cannot_be_converted() -> None:
    network = tiny_network("swin-t-fpn")
    network.forward = lambda pixels: pixels if pixels.sum() > 0 else -pixels  # no one graph
    with pytest.raises(DeviceError, match="OpenVINO cannot run the network at 64 x 32"):
        OpenVINO(network, "fp32").predict(torch.zeros(1, 3, 32, 64))


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="not on cuda"):
        check_engine("openvino", torch.device("cuda"), "fp32")
    with pytest.raises(DeviceError, match="int8"):
        check_engine("openvino", CPU, "int8")
    with pytest.raises(UsageError, match="'tvm' is none of torch, openvino"):
        check_engine("tvm", CPU, "fp32")  # type: ignore[arg-type]
    monkeypatch.setattr(room, "multiplies_bf16", lambda: False)
    with pytest.raises(DeviceError, match="bf16"):
        check_engine("openvino", CPU, "bf16")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SemaskError, match="openvino, which is not installed") as caught:
        semask_cli.load(MODEL, device="cpu", engine="openvino")
    assert "semask[export]" in caught.value.suggestion
