"""A segmentation writes what it holds, whole or not at all."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import classes
from semask_cli.errors import OutputError, UsageError
from semask_cli.io.images import read_image
from semask_cli.output.kinds import KINDS, Kind, file_name, needs
from semask_cli.output.segmentation import Segmentation
from semask_cli.output.segmented_image import RunInfo

CITYSCAPES = classes("cityscapes")
INFO = RunInfo(
    model="swin-t-fpn-cityscapes",
    dataset="cityscapes",
    checkpoint="ab" * 32,
    device="cpu",
    precision="float32",
    engine="torch",
    mode="whole",
    scales=(1.0,),
    flip=False,
    milliseconds={"network": 12.5},
    versions={"torch": "2.10.0"},
)


def segmentation(height: int = 40, width: int = 60) -> Segmentation:
    random = np.random.RandomState(0)
    labels = np.kron(random.randint(0, 19, (-(-height // 8), -(-width // 8))), np.ones((8, 8)))[:height, :width]
    return Segmentation(
        labels=labels.astype(np.uint8),
        classes=CITYSCAPES.classes,
        palette=CITYSCAPES.palette,
        info=INFO,
        image=random.randint(0, 256, (height, width, 3), np.uint8),
        confidence=random.rand(height, width).astype(np.float32),
        entropy=random.rand(height, width).astype(np.float32),
        scores=random.rand(2, height, width).astype(np.float16),
        score_labels=random.randint(0, 19, (2, height, width), np.uint8),
    )


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, semask_cli.output.segmentation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mask_is_the_default(tmp_path: Path) -> None:
    result = segmentation()
    result.save(tmp_path / "made" / "a.png")
    with Image.open(tmp_path / "made" / "a.png") as mask:
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.asarray(mask), result.labels)


def test_it_is_saved_in_a_store_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.chdir(tmp_path)
    segmentation().save("memory://bucket/a.png")
    assert files.cat_file("/bucket/a.png") == segmentation().encoded()
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("size", [(40, 60), (1, 1), (1, 90), (90, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_at_every_size(tmp_path: Path, kind: Kind, size: tuple[int, int]) -> None:
    result = segmentation(*size)
    path = tmp_path / file_name("street", kind)
    result.save(path, kind=kind)
    assert os.listdir(tmp_path) == [path.name]
    if kind == "json":
        assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(result.to_json()))
    elif path.suffix in (".png", ".jpg"):
        height, width, _ = read_image(path).shape
        assert height >= size[0]
        assert width >= size[1]


def test_colour_is_exact_and_overlay_comes_as_png_and_jpeg(tmp_path: Path) -> None:
    result = segmentation()
    result.save(tmp_path / "a.png", kind="color")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), CITYSCAPES.palette[result.labels])
    for ending, format in ((".png", "PNG"), (".jpg", "JPEG"), (".JPEG", "JPEG")):
        result.save(tmp_path / f"b{ending}", kind="overlay", opacity=0)
        assert Image.open(tmp_path / f"b{ending}").format == format
    faint, strong = read_image(tmp_path / "b.png"), tmp_path / "c.png"
    result.save(strong, kind="overlay", opacity=1)
    inside = (slice(3, 6), slice(3, 6))  # away from lines
    np.testing.assert_array_equal(faint[inside], result.image[inside])
    np.testing.assert_array_equal(read_image(strong)[inside], CITYSCAPES.palette[result.labels][inside])


def test_json_document() -> None:
    result = segmentation()
    document = json.loads(json.dumps(result.to_json()))
    assert document["schema_version"] == 1
    assert (document["height"], document["width"]) == (40, 60)
    assert sum(entry["pixels"] for entry in document["classes"]) == 2400
    largest = document["classes"][0]
    assert largest["name"] == CITYSCAPES.classes[largest["index"]]
    assert largest["colour"] == CITYSCAPES.palette[largest["index"]].tolist()
    assert largest["share"] == largest["pixels"] / 2400
    assert repr(result).startswith(f"<Segmentation of 60 x 40 pixels: {largest['name']} ")
    assert 0 < largest["mean_confidence"] < 1
    assert document["run"]["model"] == "swin-t-fpn-cityscapes"
    assert document["run"]["scales"] == [1.0]
    assert document["run"]["milliseconds"] == {"network": 12.5}


@pytest.mark.parametrize(
    ("name", "kind", "opacity", "said"),
    [
        ("a.jpg", "mask", 0.5, r"mask is written as \.png"),
        ("a", "color", 0.5, r"color is written as \.png"),
        ("a.webp", "overlay", 0.5, r"\.jpg or \.jpeg or \.png"),
        ("a.png", "json", 0.5, r"json is written as \.json"),
        ("a.png", "picture", 0.5, "no kind of output"),
        ("a.png", "overlay", 1.5, "the opacity 1.5"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path: Path, name: str, kind: Kind, opacity: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        segmentation().save(tmp_path / name, kind=kind, opacity=opacity)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_a_tolerance_that_is_none(tmp_path: Path, tolerance: float) -> None:
    with pytest.raises(UsageError, match="the tolerance"):
        segmentation().save(tmp_path / "a.geojson", kind="geojson", tolerance=tolerance)


@pytest.mark.parametrize("kind", ["overlay", "contour", "side", "legend", "confidence", "entropy", "scores"])
def test_what_was_not_kept_is_asked_for_by_name(tmp_path: Path, kind: Kind) -> None:
    [field] = needs([kind])
    with pytest.raises(UsageError, match=f"needs the {field}"):
        replace(segmentation(), **{field: None}).save(tmp_path / file_name("a", kind), kind=kind)


@pytest.mark.parametrize("kind", ["confidence", "entropy"])
def test_what_is_a_fraction_is_read_back_to_half_a_step(tmp_path: Path, kind: Kind) -> None:
    result = segmentation()
    result.save(tmp_path / "a.png", kind=kind)
    fractions = np.asarray(Image.open(tmp_path / "a.png")) / 255
    np.testing.assert_allclose(fractions, getattr(result, kind), atol=0.5001 / 255)


def test_a_notebook_shows_the_legend() -> None:
    png = segmentation()._repr_png_()
    assert png is not None
    shown = Image.open(io.BytesIO(png))
    assert shown.width >= 60
    assert shown.height > 40  # the classes below
    assert replace(segmentation(), image=None)._repr_png_() is None


def test_other_libraries_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are not installed here are played: what they are given is what they document."""
    supervision = SimpleNamespace(Detections=dict, mask_to_xyxy=lambda masks: np.zeros((len(masks), 4)))
    monkeypatch.setitem(sys.modules, "supervision", supervision)
    monkeypatch.setitem(sys.modules, "fiftyone", SimpleNamespace(Segmentation=dict))
    result = segmentation()
    detections = result.to_supervision()
    merged = np.zeros_like(result.labels)
    for mask, label, name in zip(
        detections["mask"], detections["class_id"], detections["data"]["class_name"], strict=True
    ):
        merged[mask] = label
        assert name == CITYSCAPES.classes[label]
    np.testing.assert_array_equal(merged, result.labels)
    mask = result.to_fiftyone()["mask"]
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask.astype(int), result.labels.astype(int) + 1)  # 0 is background there


def test_scores_are_read_back(tmp_path: Path) -> None:
    result = segmentation()
    result.save(tmp_path / "a.npz", kind="scores")
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["scores"], result.scores)
        np.testing.assert_array_equal(arrays["score_labels"], result.score_labels)
        assert tuple(arrays["classes"]) == result.classes
    replace(result, score_labels=None).save(tmp_path / "all.npz", kind="scores")
    with np.load(tmp_path / "all.npz") as arrays:
        assert "score_labels" not in arrays


def test_too_long_for_jpeg(tmp_path: Path) -> None:
    result = segmentation(1, 65_501)
    with pytest.raises(OutputError, match="65500 pixels"):
        result.save(tmp_path / "a.jpg", kind="overlay")
    result.save(tmp_path / "a.png", kind="overlay")
    assert os.listdir(tmp_path) == ["a.png"]


def test_no_space_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the system refuses the 101st byte of any file
    try:
        with pytest.raises(OutputError, match=r"cannot write .*a\.png: File too large"):
            segmentation().save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["a.png"]
    assert path.read_bytes() == b"old"
