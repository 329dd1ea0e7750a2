"""The rendered dataset: deterministic, exact, varied, and readable as Cityscapes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import classes, find_dataset, folder_dataset, read_classes, read_labels
from toy_street import (
    TEST_SEEDS,
    TRAIN_SEEDS,
    VAL_SEEDS,
    Label,
    Scene,
    render,
    write_cityscapes,
    write_folders,
)
from toy_street.camera import Camera

LABELS_DIGEST = "79b20719741d12262f0f5f10b00f6df5ca0c63c3c1f51340af5d50b32c0fbb77"
"""SHA-256 of the labels of the first eight test scenes. Labels are plain geometry: no machine draws them otherwise."""

DIGEST_SCRIPT = """
import hashlib
from toy_street import TEST_SEEDS, render
digest = hashlib.sha256()
for seed in TEST_SEEDS[:3]:
    scene = render(seed)
    digest.update(scene.image.tobytes() + scene.labels.tobytes())
print(digest.hexdigest())
"""


def test_a_scene_is_an_image_with_labels(scenes: list[Scene]) -> None:
    allowed = np.array([*Label])
    for scene in scenes:
        assert scene.image.shape == (256, 512, 3)
        assert scene.labels.shape == (256, 512)
        assert scene.image.dtype == scene.labels.dtype == np.uint8
        assert np.isin(scene.labels, allowed).all()
        assert scene.image.std() > 20


def test_two_processes_render_the_same_bytes() -> None:
    runs = [subprocess.run([sys.executable, "-c", DIGEST_SCRIPT], capture_output=True, text=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout) == 65, runs[0].stderr


def test_labels_are_those_that_the_model_was_trained_on() -> None:
    digest = hashlib.sha256()
    for seed in TEST_SEEDS[:8]:
        digest.update(render(seed).labels.tobytes())
    assert digest.hexdigest() == LABELS_DIGEST


def test_importing_it_does_not_import_torch() -> None:
    script = "import sys, toy_street; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.slow
def test_every_class_is_seen() -> None:
    scenes = [render(seed) for seed in TEST_SEEDS[:40]]
    seen = {label: sum(bool((scene.labels == label).sum() > 100) for scene in scenes) for label in Label}
    assert not {label.name: count for label, count in seen.items() if count < 4}


def test_splits_do_not_meet() -> None:
    assert not set(TRAIN_SEEDS) & set(VAL_SEEDS)
    assert not set(VAL_SEEDS) & set(TEST_SEEDS)
    assert not set(TRAIN_SEEDS) & set(TEST_SEEDS)


def test_scenes_differ(scenes: list[Scene]) -> None:
    thumbnails = [cv2.resize(scene.image, (16, 8), interpolation=cv2.INTER_AREA).astype(int) for scene in scenes]
    nearest = min(np.abs(a - b).mean() for i, a in enumerate(thumbnails) for b in thumbnails[:i])
    assert nearest > 5


def test_labels_lie_where_the_image_has_its_edges(scenes: list[Scene]) -> None:
    """Colour and label come from one stroke: the image changes more across a border of labels than elsewhere."""
    for scene in scenes[:8]:
        step = np.abs(np.diff(scene.image.astype(int), axis=1)).sum(axis=2)
        border = np.diff(scene.labels.astype(int), axis=1) != 0
        shifted = np.roll(border, 6, axis=1) & ~border
        assert step[border].mean() > 1.7 * step[shifted].mean()


def test_a_larger_image_shows_the_same_scene() -> None:
    small, large = render(5), render(5, height=512, width=1024)
    assert (small.labels == large.labels[::2, ::2]).mean() > 0.97


@pytest.mark.parametrize(("height", "width"), [(97, 203), (64, 64), (300, 250)])
def test_odd_sizes(height: int, width: int) -> None:
    assert render(3, height=height, width=width).labels.shape == (height, width)


def test_the_ground_is_where_the_camera_sees_it() -> None:
    """`rays` is the inverse of `project` on the road plane."""
    camera = Camera(x=1.5, height=1.8, pitch=0.05, yaw=-0.1, focal=800, size=(512, 1024))
    x, y, z = camera.rays(range(400, 500), range(200, 300))
    distance = camera.height / -y
    ground = np.stack((camera.x + x * distance, np.zeros_like(x), z * distance), axis=-1)
    pixels, _ = camera.project(ground)
    columns, rows = np.meshgrid(np.arange(200, 300), np.arange(400, 500))
    np.testing.assert_allclose(pixels, np.stack((columns, rows), axis=-1), atol=1e-2)


def test_it_reads_as_cityscapes(tmp_path: Path) -> None:
    write_cityscapes(tmp_path, TEST_SEEDS[:2])
    dataset = find_dataset("cityscapes", root=tmp_path, split="val")
    assert [sample.name for sample in dataset.samples] == ["toy_200000_000000", "toy_200001_000000"]
    for seed, sample in zip(TEST_SEEDS, dataset.samples, strict=False):
        scene = render(seed)
        assert sample.label is not None
        assert np.array_equal(np.asarray(Image.open(sample.image)), scene.image)
        assert np.array_equal(read_labels(sample.label, dataset.encoding), scene.labels)
        ids = sample.label.with_name(sample.label.name.replace("labelTrainIds", "labelIds"))
        assert np.array_equal(read_labels(ids, dataset.classes.encodings["labelIds"]), scene.labels)


def test_it_reads_as_two_folders(tmp_path: Path) -> None:
    write_folders(tmp_path, TEST_SEEDS[:2])
    class_set = read_classes(tmp_path / "toy-street.txt")
    assert class_set.name == "toy-street"
    assert class_set.classes == classes("cityscapes").classes
    assert np.array_equal(class_set.palette, classes("cityscapes").palette)
    dataset = folder_dataset(tmp_path / "images", tmp_path / "labels", class_set)
    for seed, sample in zip(TEST_SEEDS[:2], dataset.samples, strict=True):
        assert sample.label is not None
        assert np.array_equal(read_labels(sample.label, dataset.encoding), render(seed).labels)
