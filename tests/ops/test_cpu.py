"""What is known of the CPU, from what Linux says about it."""

from __future__ import annotations

import pytest
import torch

from semask_cli.ops import cpu


@pytest.fixture
def cpuinfo(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What /proc/cpuinfo says; nothing is remembered from before."""
    said: dict[str, str] = {}
    monkeypatch.setattr(cpu, "_cpuinfo", lambda: said)
    monkeypatch.setattr(cpu, "has_amx", cpu.has_amx.__wrapped__)
    return said


def test_the_name_tells_the_widest_instructions(cpuinfo: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    cpuinfo.update({"model name": "Xeon", "flags": "avx512f"})
    assert cpu.processor.__wrapped__() == "Xeon, AVX512"
    cpuinfo["flags"] = "avx512f amx_bf16 amx_tile"
    assert cpu.processor.__wrapped__() == "Xeon, AVX512 AMX"


def test_a_machine_without_cpuinfo_has_a_name_too(cpuinfo: dict[str, str]) -> None:
    name, _, instructions = cpu.processor.__wrapped__().rpartition(", ")
    assert name
    assert instructions.removesuffix(" AMX") == torch.backends.cpu.get_cpu_capability()


@pytest.mark.parametrize(("vendor", "slow"), [("AuthenticAMD", True), ("GenuineIntel", False)])
def test_small_products_are_slow_on_amd(cpuinfo: dict[str, str], vendor: str, slow: bool) -> None:
    cpuinfo["vendor_id"] = vendor
    assert cpu.small_products_are_slow.__wrapped__() is slow


@pytest.mark.parametrize(("capability", "faster"), [("AVX512", True), ("AVX2", False)])
def test_onednn_is_faster_with_avx512(capability: str, faster: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert cpu.onednn_is_faster.__wrapped__() is faster


@pytest.mark.parametrize(
    ("flag", "fast"), [("avx512_vnni", True), ("avx_vnni", True), ("amx_int8", True), ("avx2", False)]
)
def test_what_multiplies_int8(flag: str, fast: bool, cpuinfo: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo["flags"] = f"sse2 {flag}"
    assert cpu.multiplies_int8.__wrapped__() is fast
    cpuinfo.clear()  # not Linux
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"sse2": True, flag: True, "l2_cache_size": 1}, raising=False
    )
    assert cpu.multiplies_int8.__wrapped__() is fast


@pytest.mark.parametrize(
    ("rows", "channels", "threads", "idles"),
    [
        (768, 768, 2, True),
        (1535, 768, 2, True),
        (767, 768, 2, False),
        (1536, 768, 2, False),
        (1024, 768, 4, False),
        (500, 384, 2, False),
    ],
)
def test_when_one_of_two_threads_idles(
    rows: int, channels: int, threads: int, idles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "has_amx", lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert cpu.one_of_two_threads_idles(rows, channels) is idles
    monkeypatch.setattr(cpu, "has_amx", lambda: False)
    assert not cpu.one_of_two_threads_idles(rows, channels)
