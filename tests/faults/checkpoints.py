"""Damaged and hostile checkpoints: nothing runs, and what is accepted is what the whole file holds."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import random
import struct
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from semask_cli.checkpoints.reading import read
from semask_cli.errors import CheckpointError
from tests.faults.case import Fault, mutate

_MARKER = "executed"


@cache
def tensors() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    names = [f"backbone.layers.{i}.blocks.{j}.norm.weight" for i in range(4) for j in range(6)]
    return {name: torch.randn(3, 5, generator=draw) for name in names} | {"count": torch.tensor(7)}


def _torch(document: Any, **options: Any) -> bytes:
    torch.save(document, buffer := io.BytesIO(), **options)
    return buffer.getvalue()


@cache
def whole() -> tuple[tuple[str, bytes, bool], ...]:
    """(structure, bytes, whether the structure has checksums)."""
    arrays = {name: tensor.numpy() for name, tensor in tensors().items()}
    meta = {"CLASSES": ("wall", "sky"), "hook_msgs": {"best": np.float64(0.4)}}
    return (
        ("mmseg", _torch({"meta": meta, "state_dict": tensors(), "optimizer": {"state": {0: torch.zeros(9)}}}), True),
        ("detectron2", _torch({"model": tensors(), "scheduler": {"last": 3}, "iteration": 9}), True),
        ("arrays", _torch({"model": arrays}), True),
        ("legacy", _torch({"model": tensors()}, _use_new_zipfile_serialization=False), False),
        ("pkl 2", pickle.dumps({"model": arrays}, protocol=2), False),
        ("pkl 4", pickle.dumps({"model": arrays, "__author__": "x"}, protocol=4), False),
        ("safetensors", save(tensors()), False),
    )


def checkpoint_case(draw: random.Random, folder: Path) -> str:
    return draw.choice((_damaged, _damaged, _damaged, _gadget, _opcodes))(draw, folder)


def _damaged(draw: random.Random, folder: Path) -> str:
    structure, data, checked = draw.choice(whole())
    data, damage = mutate(draw, data)
    found = _read(folder, data)
    if found is None:
        return "refused"
    equal = found.keys() == tensors().keys() and all(torch.equal(found[name], tensors()[name]) for name in found)
    if not equal and (checked or damage == "truncate"):
        raise Fault(f"a damaged {structure} ({damage}) was accepted with other numbers")
    return "equal" if equal else "changed where nothing is checked"


class _Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def attacks(draw: random.Random, folder: Path) -> list[bytes]:
    """Files that try to run something, and random programs: where a fuzzer may begin."""
    return [_gadget_file(draw, folder / _MARKER)[1] for _ in range(20)] + [_program(draw) for _ in range(20)]


def _gadget(draw: random.Random, folder: Path) -> str:
    function, data = _gadget_file(draw, folder / _MARKER)
    if _read(folder, data) is not None:
        raise Fault(f"{function} was accepted")
    return "refused"


def _gadget_file(draw: random.Random, marker: Path) -> tuple[Any, bytes]:
    gadget = draw.choice(
        (
            _Calls(os.mkdir, str(marker)),
            _Calls(os.system, f"mkdir {marker}"),
            _Calls(eval, f"__import__('os').mkdir({str(marker)!r})"),
            _Calls(exec, f"import os; os.mkdir({str(marker)!r})"),
            _Calls(subprocess.call, ["mkdir", str(marker)]),
            _Calls(builtins.getattr, "text", "upper"),
            _Calls(builtins.open, str(marker), "w"),
            _Calls(np.load, str(marker)),
            _Calls(torch.load, str(marker)),
            _Calls(np.ndarray, (1,), np.dtype("O"), b"A" * 8),
        )
    )
    place = draw.choice(("model", "meta", "optimizer"))
    document = {"model": dict(tensors()), "meta": {}, "optimizer": {}}
    document[place]["payload"] = gadget
    protocol = draw.randrange(2, 5)
    data = draw.choice(
        (
            lambda: _torch(document, pickle_protocol=protocol),
            lambda: _torch(document, _use_new_zipfile_serialization=False, pickle_protocol=protocol),
            lambda: pickle.dumps({"model": {"w": np.ones(2)}, "payload": gadget}, protocol=protocol),
        )
    )()
    return gadget.reduced[0], data


def _opcodes(draw: random.Random, folder: Path) -> str:
    _read(folder, _program(draw))
    return "refused"


def _program(draw: random.Random) -> bytes:
    """A random program of the pickle machine, out of the pieces that attacks are made of."""
    pieces = (
        b"(", b"]", b"}", b")", b"2", b"0", b"1", b"K\x01", b"X\x01\0\0\0a", b"\x86", b"\x85", b"t", b"l", b"d", b"a",
        b"e", b"s", b"u", b"R", b"b", b"\x81", b"o", b"q\x00", b"h\x00", b"r\xff\xff\xff\x7f", b"\x94", b"Q", b"N",
        b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"ccollections\nOrderedDict\n", b"c_codecs\nencode\n",
        b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy._core.multiarray\nscalar\n", b"ctorch\nFloatStorage\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n", b"X\x06\0\0\0latin1", b"B" + struct.pack("<I", 8) + b"A" * 8,
        b"\x8a\xff" + b"\x7f" * 255, b"i__builtin__\neval\n", b"\x93", b"\x95" + b"\xff" * 8,
    )  # fmt: skip
    program = b"".join(draw.choice(pieces) for _ in range(draw.randrange(1, 60)))
    return b"\x80\x04" + program + b"."


def _read(folder: Path, data: bytes) -> dict[str, torch.Tensor] | None:
    path = folder / "file.bin"
    path.write_bytes(data)
    try:
        return read(path).tensors
    except CheckpointError as error:
        shown = error.message + error.suggestion
        if len(shown) > 5000 or any(not c.isprintable() and c != "\n" for c in shown):
            raise Fault(f"a message of {len(shown)} characters, or with control characters") from None
        return None
    finally:
        if (folder / _MARKER).exists():
            raise Fault("EXECUTED")
