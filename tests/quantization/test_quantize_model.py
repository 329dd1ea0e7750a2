"""Bundled models in int8, from the command line and from Python."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from semask_cli import load
from semask_cli.errors import (
    CheckpointError,
    DamagedCheckpointError,
    DigestError,
    ImageError,
    OutputError,
    QuantizationError,
)
from semask_cli.io.resources import project_file
from semask_cli.ops.cpu import multiplies_int8
from semask_cli.quantization import quantize_model as module
from semask_cli.quantization.quantize_model import quantize_model
from semask_cli.quantization.store import scales_path
from tests.support.command_line import Run

pytestmark = pytest.mark.skipif(not multiplies_int8(), reason="needs VNNI or AMX")

DEMO = project_file("demo")
SCENES = sorted((DEMO / "images").iterdir())[:8]


def test_what_was_quantized_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMASK_CACHE", str(tmp_path))
    shipped = load("toy-street-fpn", device="cpu", precision="int8")
    made = quantize_model(load("toy-street-fpn", device="cpu"), SCENES)
    assert (made.calibrated_on, made.held_back) == (6, (0, 4))
    assert made.equal_labels >= 0.995
    own = load("toy-street-fpn", device="cpu", precision="int8")
    assert own.settings["quantization"] != shipped.settings["quantization"]
    with pytest.raises(QuantizationError, match="not calibrated"):
        load("toy-street-fpn", checkpoint=_other_checkpoint(tmp_path), device="cpu", precision="int8")


def test_scales_replace_no_file_that_is_read(tmp_path: Path, semask: Run) -> None:
    own = _other_checkpoint(tmp_path)
    content = own.read_bytes()
    command = ("quantize", "toy-street-fpn", "--checkpoint", own, "--images")
    refused = semask(*command, DEMO / "images", "-o", own, check=OutputError.exit_code)
    assert "would replace" in refused.stderr
    assert own.read_bytes() == content
    missing = semask(*command, tmp_path / "missing.jpg", check=ImageError.exit_code)
    assert "there is no file" in missing.stderr


def test_a_model_that_changes_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EQUAL_LABELS", 1.0)
    file = tmp_path / "scales.safetensors"
    with pytest.raises(QuantizationError, match="nothing was kept"):
        quantize_model(load("toy-street-fpn", device="cpu"), SCENES[:4], output=file)
    assert not list(tmp_path.iterdir())
    quantize_model(load("toy-street-fpn", device="cpu"), SCENES[:4], output=file, keep_anyway=True)
    with safe_open(file, "pt") as opened:
        about = opened.metadata()
    assert 0.9 < float(about["equal_labels"]) < 1


def test_scales_of_another_checkpoint_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "scales.safetensors"
    segmenter = load("toy-street-fpn", device="cpu")
    quantize_model(segmenter, SCENES[:4], output=file)
    other = _other_checkpoint(tmp_path)
    with pytest.raises(DigestError, match="another checkpoint"):
        load("toy-street-fpn", checkpoint=other, device="cpu", precision="int8", quantized=file)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="a pipe or a device"):
        load("toy-street-fpn", device="cpu", precision="int8", quantized=tmp_path / "pipe")
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(DamagedCheckpointError, match="damaged"):
        load("toy-street-fpn", device="cpu", precision="int8", quantized=file)
    shutil.copyfile(project_file("weights.toml"), file)
    with pytest.raises(DamagedCheckpointError, match="damaged"):
        load("toy-street-fpn", device="cpu", precision="int8", quantized=file)


def _other_checkpoint(folder: Path) -> Path:
    """The same weights in a file with another digest."""
    weights = load_file(project_file("bundled/toy-street-fpn.safetensors"))
    save_file(weights, folder / "other.safetensors", metadata={"format": "other"})
    return folder / "other.safetensors"


def test_the_command_line(tmp_path: Path, semask: Run) -> None:
    arguments = ("quantize", "toy-street-fpn", "--images", DEMO / "images", "--samples", 4)
    made = json.loads(semask(*arguments, "--labels", DEMO / "labels", "--json").stdout)
    assert made["equal_labels"] >= 0.995
    assert (made["calibrated_on"], made["compared_on"]) == (3, 1)
    assert abs(made["miou_difference"]["value"]) < 1
    assert Path(made["file"]).parent == tmp_path / "cache" / "quantized"
    one = next(iter(sorted((DEMO / "images").iterdir())))
    semask("predict", one, "-m", "toy-street-fpn", "--precision", "int8", "-o", "masks")
    assert list((tmp_path / "masks").glob("*.png"))


def test_the_difference_in_miou_is_said_in_a_sentence(tmp_path: Path, semask: Run) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for label in sorted((DEMO / "labels").iterdir())[:6]:  # the other images are not drawn
        shutil.copy(label, labels)
    arguments = ("quantize", "toy-street-fpn", "-o", tmp_path / "scales.safetensors", "--images", DEMO / "images")
    said = semask(*arguments, "--labels", labels).stdout
    assert "compared: 2, calibrated on: 4" in said
    assert "mIoU" in said
    (empty := tmp_path / "empty").mkdir()
    assert "has a label in" in semask(*arguments, "--labels", empty, check=2).stderr
    assert "single folder" in semask(*arguments, "--images", DEMO / "images", "--labels", labels, check=2).stderr


def test_where_scales_lie_says_what_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEMASK_CACHE", str(tmp_path))
    spec = load("toy-street-fpn", device="cpu").spec
    assert scales_path(spec, "ab" * 32) != scales_path(spec, "cd" * 32)
