"""Devices and precisions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal, get_args

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from semask_cli.errors import DeviceError
from semask_cli.models.network import Network
from semask_cli.ops.cpu import multiplies_bf16, multiplies_int8

ChosenPrecision = Literal["fp32", "tf32", "fp16", "bf16", "int8"]
Precision = Literal["auto", "fp32", "tf32", "fp16", "bf16", "int8"]

HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}
AMPERE = (8, 0)  # the first compute capability with bf16 and TF32

# All but cuDNN's, which torch prefers on some devices: it plans for every new shape, which takes longer than an image,
# and a backbone attends in twenty shapes.
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`: cpu, cuda, cuda:1, mps; "auto" is the first GPU, else the CPU.

    Raises:
        DeviceError: this machine does not have it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"there is no device {name!r}", "Use auto, cpu, cuda, cuda:N or mps.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        reason = f"torch sees {torch.cuda.device_count()} CUDA devices"
        raise DeviceError(f"{name} cannot be used: {reason}", "See `semask doctor`; --device cpu always works.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("mps cannot be used: it needs a Mac with Apple silicon", "Use --device cpu.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"semask does not run on {name}", "Use auto, cpu, cuda, cuda:N or mps.")
    return device


def choose_precision(precision: Precision, device: torch.device) -> ChosenPrecision:
    """The precision to use: "auto" is bf16 on Ampere and later GPUs, else fp32.

    Raises:
        DeviceError: the device does not support it.
    """
    if precision not in get_args(Precision):
        raise DeviceError(f"precision {precision!r} is none of {', '.join(get_args(Precision))}")
    nvidia = device.type == "cuda" and torch.version.hip is None
    ampere = device.type == "cuda" and torch.cuda.get_device_capability(device) >= AMPERE
    if precision == "auto":
        return "bf16" if ampere else "fp32"
    if precision == "int8" and not (device.type == "cpu" and multiplies_int8()):
        here = "this processor has neither VNNI nor AMX" if device.type == "cpu" else f"it is for CPUs, not {device}"
        raise DeviceError(f"int8 cannot be used: {here}", "Use --precision auto.")
    if precision == "bf16" and device.type == "cuda" and not ampere:
        name = torch.cuda.get_device_name(device)
        raise DeviceError(f"{name} does not support bf16", "Use --precision fp16 or fp32.")
    if precision == "tf32" and not (nvidia and ampere):
        raise DeviceError(f"{device} does not support tf32", "Use --precision auto.")
    return precision


def half_type(precision: ChosenPrecision) -> torch.dtype | None:
    """The dtype of products that are not quantized, None for float32. For int8, bf16 if the CPU supports it."""
    if precision == "int8":
        return torch.bfloat16 if multiplies_bf16() else None
    return HALF.get(precision)


def cast_matmul_weights_(network: Network, precision: ChosenPrecision) -> None:
    """Cast the weights of matrix products and convolutions in place, if `precision` is a half type.

    Autocast would do this in every pass; so weights take half the memory. Norms, embeddings and position biases stay
    float32.
    """
    if (dtype := half_type(precision)) is not None:
        for parameter in network.matmul_parameters():
            parameter.data = parameter.data.to(dtype)


@contextmanager
def computing(precision: ChosenPrecision, device: torch.device) -> Iterator[None]:
    """Within the block, matrix products and convolutions run in `precision`; norms and softmax stay in float32.

    On a GPU, only "tf32" allows float32 products to round their factors to ten bits.
    """
    with ExitStack() as settings:
        if (dtype := half_type(precision)) is not None:
            settings.enter_context(torch.autocast(device.type, dtype))
        if device.type == "cuda":
            settings.enter_context(sdpa_kernel(ATTENTION))
            settings.enter_context(_tf32(precision == "tf32"))
        yield


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Within the block, a default device, a default dtype and autocast of the caller do not apply."""
    with ExitStack() as settings:
        if (dtype := torch.get_default_dtype()) != torch.float32:
            settings.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            settings.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                settings.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
