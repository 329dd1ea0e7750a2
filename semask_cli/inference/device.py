"""Where a network runs, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from semask_cli.errors import DeviceError
from semask_cli.models.network import Network

Precision = Literal["auto", "fp32", "bf16"]
ChosenPrecision = Literal["fp32", "bf16"]


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`: cpu, cuda, cuda:1, mps; "auto" is the first GPU there is, else the CPU.

    Raises:
        DeviceError: this machine does not have it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"no device is called {name!r}", "Use auto, cpu, cuda, cuda:N or mps.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        reason = f"torch sees {torch.cuda.device_count()} CUDA devices"
        raise DeviceError(f"{name} cannot be used: {reason}", "`semask doctor` says more; --device cpu always works.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("mps cannot be used: it needs a Mac with Apple silicon", "Use --device cpu.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"semask does not run on {name}", "Use auto, cpu, cuda, cuda:N or mps.")
    return device


def choose_precision(precision: Precision, device: torch.device) -> ChosenPrecision:
    """ "auto" is bf16 on a GPU that multiplies it fast, else fp32.

    Raises:
        DeviceError: bf16 where the device cannot compute in it.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise DeviceError(f"precision {precision!r} is none of auto, fp32, bf16")
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        return "bf16" if fast else "fp32"
    if precision == "bf16" and device.type == "cuda" and not fast:
        raise DeviceError(f"{torch.cuda.get_device_name(device)} does not compute in bf16", "Use --precision fp32.")
    return precision


def cast_matmul_weights_(network: Network) -> None:
    """Cast the weights of matrix products and convolutions to bf16, in place.

    They become what autocast would make of them in every pass, in half the memory. Norms, embeddings and position
    biases stay float32.
    """
    for parameter in network.matmul_parameters():
        parameter.data = parameter.data.to(torch.bfloat16)


def autocast(precision: ChosenPrecision, device: torch.device) -> AbstractContextManager[object]:
    """Within it, matrix products and convolutions run in `precision`; norms and softmax stay in float32."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
