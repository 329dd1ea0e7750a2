"""Which device and precision are chosen, and what a precision makes of the weights."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from semask_cli import load
from semask_cli.errors import DeviceError
from semask_cli.inference import device as device_module
from semask_cli.inference.device import HALF, ChosenPrecision, Precision, choose_device, choose_precision, computing


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
        ("gpu", "there is no device 'gpu'"),
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


CAPABILITIES = {0: (7, 5), 1: (9, 0)}  # a T4 and an H100 in one machine


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: CAPABILITIES[device.index])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("precision", "device", "chosen"),
    [
        ("auto", "cpu", "fp32"),
        ("bf16", "cpu", "bf16"),
        ("auto", "cuda:0", "fp32"),
        ("fp16", "cuda:0", "fp16"),
        ("auto", "cuda:1", "bf16"),
        ("fp32", "cuda:1", "fp32"),
        ("tf32", "cuda:1", "tf32"),
        ("auto", "mps", "fp32"),
    ],
)
def test_auto_is_bf16_on_a_gpu_that_is_itself_fast_at_it(precision: Precision, device: str, chosen: str) -> None:
    assert choose_precision(precision, torch.device(device)) == chosen


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("precision", "device", "said"),
    [
        ("bf16", "cuda:0", "Tesla T4 does not support bf16"),
        ("tf32", "cuda:0", "cuda:0 does not support tf32"),
        ("tf32", "cpu", "cpu does not support tf32"),
        ("fp8", "cuda:1", "'fp8' is none of auto, fp32, tf32, fp16, bf16"),
    ],
)
def test_a_precision_that_the_device_does_not_have(precision: Precision, device: str, said: str) -> None:
    with pytest.raises(DeviceError, match=said):
        choose_precision(precision, torch.device(device))


def test_int8_needs_a_processor_that_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "multiplies_int8", lambda: False)
    with pytest.raises(DeviceError, match="neither VNNI nor AMX"):
        choose_precision("int8", torch.device("cpu"))
    monkeypatch.setattr(device_module, "multiplies_int8", lambda: True)
    assert choose_precision("int8", torch.device("cpu")) == "int8"
    with pytest.raises(DeviceError, match="for CPUs, not mps"):
        choose_precision("int8", torch.device("mps"))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_what_holds_while_a_gpu_computes(precision: ChosenPrecision) -> None:
    def settings() -> tuple[object, ...]:
        matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        half = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
        return matmul, convolution, half, torch.backends.cuda.cudnn_sdp_enabled()

    before = settings()
    warning = pytest.warns(match="CUDA is not available") if precision in HALF else nullcontext()
    with warning, computing(precision, torch.device("cuda")):
        within = settings()
    tf32 = precision == "tf32"
    half = HALF.get(precision) if torch.cuda.is_available() else None
    assert within == ("high" if tf32 else "highest", tf32, half, False)
    assert settings() == before


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("model", ["toy-street-fpn", "toy-street-m2f"])
@torch.inference_mode()
def test_weights_are_rounded_as_autocast_does(model: str, precision: Precision) -> None:
    """Once for all passes, instead of once a pass."""
    rounded, network = (load(model, device="cpu", precision=p).network for p in (precision, "fp32"))
    pixels = torch.randn(1, 3, 70, 101)
    with torch.autocast("cpu", HALF[precision]):
        [found], [expected] = rounded.predict(pixels), network.predict(pixels)
    whole = range(found.size[0]), range(found.size[1])
    assert torch.equal(found.class_map(*whole).maps, expected.class_map(*whole).maps)
    dtypes = {name: parameter.dtype for name, parameter in rounded.named_parameters()}
    assert dtypes["backbone.layers.0.blocks.0.mlp.fc1.weight"] == HALF[precision]
    assert dtypes["backbone.layers.0.blocks.0.norm1.weight"] == torch.float32
