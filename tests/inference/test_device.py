"""Which device and precision are chosen, and what a precision makes of the weights."""

from __future__ import annotations

import pytest
import torch

from semask_cli import load
from semask_cli.errors import DeviceError
from semask_cli.inference.device import Precision, choose_device, choose_precision


def test_auto_is_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device() == choose_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device() == torch.device("cuda")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpu", "no device is called 'gpu'"),
        ("cuda:1", "cuda:1 cannot be used: torch sees 1 CUDA devices"),
        ("mps", "needs a Mac"),
        ("meta", "semask does not run on meta"),
    ],
)
def test_a_device_that_is_not_there(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=said):
        choose_device(name)


@pytest.mark.parametrize(
    ("precision", "device", "fast", "chosen"),
    [
        ("auto", "cpu", False, "fp32"),
        ("bf16", "cpu", False, "bf16"),
        ("auto", "cuda", True, "bf16"),
        ("auto", "cuda", False, "fp32"),
        ("fp32", "cuda", True, "fp32"),
    ],
)
def test_auto_is_bf16_on_a_gpu_that_is_fast_at_it(
    precision: Precision, device: str, fast: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: fast)
    assert choose_precision(precision, torch.device(device)) == chosen


def test_a_precision_that_the_device_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(DeviceError, match="Tesla T4 does not compute in bf16"):
        choose_precision("bf16", torch.device("cuda"))
    with pytest.raises(DeviceError, match="'fp16' is none of"):
        choose_precision("fp16", torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["toy-street-fpn", "toy-street-m2f"])
@torch.inference_mode()
def test_bf16_rounds_weights_as_autocast_does(model: str) -> None:
    """Once for all passes, instead of once a pass."""
    rounded, network = (load(model, device="cpu", precision=p).network for p in ("bf16", "fp32"))
    pixels = torch.randn(1, 3, 70, 101)
    with torch.autocast("cpu", torch.bfloat16):
        [found], [expected] = rounded.predict(pixels), network.predict(pixels)
    whole = range(found.size[0]), range(found.size[1])
    assert torch.equal(found.class_map(*whole).maps, expected.class_map(*whole).maps)
    dtypes = {name: parameter.dtype for name, parameter in rounded.named_parameters()}
    assert dtypes["backbone.layers.0.blocks.0.mlp.fc1.weight"] == torch.bfloat16
    assert dtypes["backbone.layers.0.blocks.0.norm1.weight"] == torch.float32
