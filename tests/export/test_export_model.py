"""An exported network is run in its engine and kept only if it computes what ours does."""

from __future__ import annotations

import copy
import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import torch
from PIL import ExifTags, Image
from torch.export import ExportedProgram

import semask_cli
from semask_cli.errors import ExportError, OutputError, UsageError
from semask_cli.export import export_model as exporting
from semask_cli.export.export_model import export_model
from semask_cli.export.formats import ENGINES, FORMATS, Format
from semask_cli.inference.segmenter import Segmenter
from semask_cli.io.resources import project_file
from semask_cli.models.network import Network

SIZE = (96, 160)
SCENES = sorted((project_file("demo") / "images").iterdir())[:2]


@pytest.fixture(scope="module")
def fpn() -> Segmenter:
    return semask_cli.load("toy-street-fpn", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def graph(fpn: Segmenter) -> ExportedProgram:
    return exporting.trace(fpn.network, height=SIZE[0], width=SIZE[1])


@pytest.fixture
def traced_once(fpn: Segmenter, graph: ExportedProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    def trace(network: Network, *, height: int, width: int) -> ExportedProgram:
        assert (network, height, width) == (fpn.network, *SIZE)
        return copy.deepcopy(graph)

    monkeypatch.setattr(exporting, "trace", trace)


@pytest.mark.slow
@pytest.mark.usefixtures("traced_once")
@pytest.mark.parametrize("format", FORMATS)
def test_the_script_beside_the_file_gives_the_labels_of_the_model(
    fpn: Segmenter, tmp_path: Path, format: Format
) -> None:
    path = tmp_path / f"toy{ENGINES[format].ending}"
    compared = export_model(fpn, path, format=format, size=SIZE, images=SCENES)
    assert compared.is_equal
    assert compared.images == 2
    photo = tmp_path / "photo.png"
    stored = Image.open(SCENES[0]).resize(SIZE[::-1], Image.Resampling.BILINEAR)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3  # upside down
    stored.save(photo, exif=exif)
    script = [sys.executable, f"{path}.py", str(photo), str(tmp_path / "mask.png")]
    printed = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    native = semask_cli.load("toy-street-fpn", scales="native").predict(photo)
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    assert np.mean(mask == native.labels) >= 0.9999
    assert native.shares()[0].name in printed
    told = subprocess.run(script[:3], check=False, capture_output=True, text=True)
    assert (told.returncode, "photo.jpg mask.png" in told.stderr) == (1, True)
    assert "Traceback" not in told.stderr

    about = json.loads(Path(f"{path}.json").read_text())
    assert about["classes"] == list(native.classes)
    assert about["comparison"]["equal_labels"] == compared.equal_labels
    kept = {
        "onnx": lambda: {entry.key: entry.value for entry in onnx.load(path).metadata_props}["model"],
        "openvino": lambda: openvino.Core().read_model(path).get_rt_info(["semask", "model"]).value,
        "torch-export": lambda: about["model"],
    }
    assert kept[format]() == "toy-street-fpn"


@pytest.mark.slow
def test_a_network_that_computes_something_else_is_not_kept(
    fpn: Segmenter, graph: ExportedProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last weights are others by a thousandth."""
    other = copy.deepcopy(graph)
    other.state_dict["network.decode_head.conv_seg.weight"].mul_(1.001)
    monkeypatch.setattr(exporting, "trace", lambda *_, **__: other)
    with pytest.raises(ExportError, match="was not kept") as caught:
        export_model(fpn, tmp_path / "toy.pt2", format="torch-export", size=SIZE, images=SCENES)
    assert caught.value.exit_code == 41
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("traced_once")
def test_an_earlier_export_is_replaced_by_a_whole_one_or_not(
    fpn: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk it stays; a kill leaves no file that belongs to another one's weights or facts."""
    path, facts = tmp_path / "toy.pt2", tmp_path / "toy.pt2.json"
    for file in (path, facts):
        file.write_text("earlier")

    def export() -> None:
        export_model(fpn, path, format="torch-export", size=SIZE, images=SCENES[:1])

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(exporting, "script", full)
        with pytest.raises(OutputError, match="No space left"):
            export()
    assert [file.read_text() for file in (path, facts)] == ["earlier", "earlier"]

    def killed(file: Path, target: Path) -> None:
        if target == path:
            raise KeyboardInterrupt
        os.replace(file, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            export()
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "format", "size", "said"),
    [
        ("a.pt2", "onnx", SIZE, r"onnx is written as \.onnx"),
        ("a.onnx", "tensorrt", SIZE, "no format 'tensorrt'"),
        ("a.onnx", "onnx", (16, 64), "32 pixels"),
    ],
)
def test_what_cannot_be_exported(
    fpn: Segmenter, tmp_path: Path, name: str, format: Format, size: tuple[int, int], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        export_model(fpn, tmp_path / name, format=format, size=size)


@pytest.mark.usefixtures("traced_once")
def test_a_missing_package_says_what_to_install(
    fpn: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match="openvino, which is not installed") as caught:
        export_model(fpn, tmp_path / "a.xml", format="openvino", size=SIZE)
    assert "semask[export]" in caught.value.suggestion
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_that_is_full_is_an_error_to_python(tmp_path: Path, format: Format) -> None:
    """Where the other engine's C++ writes, it may end the process, or say nothing of a disk."""
    program = torch.export.export(torch.nn.Linear(64, 64), (torch.zeros(1, 64),))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limit[1]))
    try:
        with pytest.raises(OSError, match=r"large|full"):
            ENGINES[format].write(program, tmp_path / f"x{ENGINES[format].ending}", {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
