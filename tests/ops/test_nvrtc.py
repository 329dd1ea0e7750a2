"""Compiled once for one device, kept on disk, made again when it is damaged or anything that it depends on changes."""

from __future__ import annotations

import sys
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import pytest

from semask_cli.ops import bindings, ctypes_bindings, nvrtc
from semask_cli.ops.bindings import KernelError
from semask_cli.ops.nvrtc import Kernel, architecture, machine_code, nvrtc_version

KERNEL = Kernel("scale", (("FACTOR", 3),))
SOURCE = """
#include "scale.cuh"
extern "C" __global__ void scale(float* numbers) { numbers[threadIdx.x] *= FACTOR + TERM; }
"""


@pytest.fixture(autouse=True)
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one small kernel, in the place of kernels/."""
    try:
        nvrtc_version()
    except KernelError:
        pytest.skip("NVRTC is not installed: it comes with torch's CUDA builds and as a wheel of its own")
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "scale.cu").write_text(SOURCE)
    (folder / "scale.cuh").write_text("#define TERM 0")
    monkeypatch.setattr(nvrtc, "project_file", lambda name: folder)
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that were compiled, not taken from the disk."""
    names: list[str] = []
    compile_ = nvrtc._compile
    monkeypatch.setattr(nvrtc, "_compile", lambda name, *rest: names.append(name) or compile_(name, *rest))
    return names


def test_compiled_once(kept: Path, compiled: list[str]) -> None:
    assert machine_code(KERNEL, (9, 0)) == machine_code(KERNEL, (9, 0))
    assert compiled == ["scale"]
    assert len(list(kept.iterdir())) == 1


def test_another_constant_device_source_or_header_is_another_file(kernels: Path, kept: Path) -> None:
    variants = [machine_code(KERNEL, (9, 0)), machine_code(KERNEL, (8, 0))]
    variants.append(machine_code(Kernel("scale", (("FACTOR", 5),)), (9, 0)))
    (kernels / "scale.cuh").write_text("#define TERM 1")
    variants.append(machine_code(KERNEL, (9, 0)))
    (kernels / "scale.cu").write_text(SOURCE.replace("*=", "+="))
    variants.append(machine_code(KERNEL, (9, 0)))
    assert len(set(variants)) == len(list(kept.iterdir())) == 5


@pytest.mark.parametrize(
    "damage", [lambda code: code[:-9], lambda code: b"", lambda code: code[:99] + b"x" + code[100:]]
)
def test_a_damaged_file_is_made_again(damage: object, kept: Path, compiled: list[str]) -> None:
    code = machine_code(KERNEL, (9, 0))
    [file] = kept.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert machine_code(KERNEL, (9, 0)) == machine_code(KERNEL, (9, 0)) == code
    assert compiled == ["scale", "scale"]


def test_a_cache_that_cannot_be_written(kept: Path) -> None:
    kept.parent.mkdir()
    kept.touch()
    assert machine_code(KERNEL, (9, 0)).startswith(b"\x7fELF")


@pytest.mark.forks
def test_processes_that_compile_at_once(kept: Path) -> None:
    with get_context("fork").Pool(3) as pool:
        codes = pool.starmap(machine_code, [(KERNEL, (9, 0))] * 9, chunksize=3)
    assert len(set(codes)) == 1
    assert len(list(kept.iterdir())) == 1
    assert machine_code(KERNEL, (9, 0)) == codes[0]


def test_what_to_compile_for() -> None:
    assert architecture((8, 6)) == "sm_86"
    assert architecture((9, 9)) == "sm_90"  # a later device of the same major version
    assert machine_code(KERNEL, (99, 0)).lstrip().startswith(b"//")  # PTX, for the driver to translate
    with pytest.raises(KernelError, match=r"does not compile for compute capability 3\.5"):
        architecture((3, 5))


@pytest.mark.parametrize(
    ("capability", "target"),
    [
        ((10, 0), "sm_100"),
        ((10, 1), "sm_101"),
        ((10, 3), "sm_100"),  # not of the board whose machine code is nearer
        ((11, 0), "compute_100"),  # a board that this NVRTC does not know
        ((8, 7), "compute_86"),
        ((12, 1), "sm_120"),
        ((13, 0), "compute_120"),
    ],
)
def test_what_an_older_nvrtc_compiles_for(
    capability: tuple[int, int], target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvrtc, "call", lambda name: [75, 80, 86, 90, 100, 101, 120])
    assert architecture(capability) == target


def test_ctypes_where_cuda_bindings_are_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise RuntimeError("Failed to dlopen libnvrtc.so.12")

    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", SimpleNamespace(nvrtcVersion=missing))
    assert bindings.library.__wrapped__("nvrtc") is ctypes_bindings.nvrtc


def test_libraries_of_environments_and_of_other_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libnvrtc.so.12").touch()
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    candidates = list(ctypes_bindings._nvrtc_candidates())
    assert candidates[-4:] == [
        str(tmp_path / "lib" / "libnvrtc.so.12"),
        *(f"libnvrtc.so{v}" for v in ("", ".13", ".12")),
    ]


def test_a_source_that_does_not_compile(kernels: Path) -> None:
    (kernels / "scale.cu").write_text(SOURCE.replace("TERM", "TREM"))
    with pytest.raises(KernelError, match=r'identifier "TREM" is undefined'):
        machine_code(KERNEL, (9, 0))


def test_ctypes_in_the_place_of_cuda_bindings(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_default = machine_code(KERNEL, (9, 0)), machine_code(KERNEL, (99, 0))
    monkeypatch.setattr(bindings, "library", lambda name: ctypes_bindings.nvrtc)
    monkeypatch.setattr(nvrtc, "_read", lambda path: None)
    assert (machine_code(KERNEL, (9, 0)), machine_code(KERNEL, (99, 0))) == by_default
    (kernels / "scale.cu").write_text(SOURCE.replace("TERM", "TREM"))
    with pytest.raises(KernelError, match=r'identifier "TREM" is undefined'):
        machine_code(KERNEL, (9, 0))


def test_a_machine_without_nvrtc(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = ctypes_bindings._Nvrtc(lambda: iter(["libnvrtc.so.nowhere"]), ctypes_bindings.nvrtc._functions)
    monkeypatch.setattr(bindings, "library", lambda name: nowhere)
    with pytest.raises(KernelError, match=r"libnvrtc\.so\.nowhere: cannot open"):
        machine_code(KERNEL, (9, 0))
