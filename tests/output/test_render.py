"""Label maps keep their indices on disk, and what is made for the eye shows the right colours at any size."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import imageio.v3
import numpy as np
import pytest
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from semask_cli.datasets import classes
from semask_cli.errors import OutputError
from semask_cli.io.resources import project_file
from semask_cli.output import render
from semask_cli.output.class_shares import ClassShare

ADE20K = classes("ade20k")

label_maps = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))
palettes = hnp.arrays(np.uint8, st.tuples(st.integers(1, 255), st.just(3)))


def blocks(height: int = 60, width: int = 80) -> np.ndarray:
    """Four segments of classes 0 to 3, one in each quarter."""
    y, x = np.mgrid[:height, :width]
    return (2 * (y >= height // 2) + (x >= width // 2)).astype(np.uint8)


def share(index: int, name: str, part: float) -> ClassShare:
    return ClassShare(index=index, name=name, colour=(200, 30, index), pixels=round(1000 * part), share=part)


# -- mask


@given(labels=label_maps, palette=palettes)
def test_mask_reads_back_equal(labels: np.ndarray, palette: np.ndarray) -> None:
    names = [f"class {i}" for i in range(len(palette))]
    data = render.encode_mask(labels, palette, dataset="own", classes=names)
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette

    image = Image.open(io.BytesIO(data))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), labels)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), table[labels])
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(shown[..., ::-1], table[labels])


@pytest.mark.parametrize(
    "read",
    [
        lambda path: cv2.imread(path, cv2.IMREAD_UNCHANGED),
        lambda path: cv2.imread(path, cv2.IMREAD_GRAYSCALE),
        lambda path: np.asarray(Image.open(path)),
        lambda path: torchvision.io.read_image(path)[0].numpy(),
        imageio.v3.imread,
    ],
    ids=["opencv", "opencv grey", "pillow", "torchvision", "imageio"],
)
def test_indices_are_the_same_to_every_library(tmp_path: Path, read: Callable[[str], np.ndarray]) -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    (tmp_path / "index.png").write_bytes(render.encode_index(labels))
    np.testing.assert_array_equal(read(str(tmp_path / "index.png")), labels)


def test_masks_of_scenes_take_less_than_pillow_makes(tmp_path: Path) -> None:
    for path in sorted((project_file("demo") / "labels").iterdir())[:3]:
        labels = np.asarray(Image.open(path))
        image = Image.fromarray(labels)
        image.putpalette(ADE20K.palette.tobytes())
        image.save(tmp_path / "pillow.png", compress_level=3)
        mask = render.encode_mask(labels, ADE20K.palette, dataset="ade20k", classes=["road"])
        assert len(mask) < (tmp_path / "pillow.png").stat().st_size


@given(labels=label_maps, strip=st.integers(1, 200))
def test_index_is_the_same_in_strips_and_by_python_s_zlib(labels: np.ndarray, strip: int) -> None:
    whole = render.encode_index(labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "zlib", zlib)
        patch.setattr(render, "_STRIP", max(strip, labels.shape[1]))
        assert render.encode_index(labels) == whole


def test_masks_wider_than_png_are_refused() -> None:
    with pytest.raises(OutputError, match="limited to 1000000 pixels per side"):
        render.encode_index(np.zeros((1, 1_000_001), np.uint8))


@given(names=st.lists(st.text(max_size=20), min_size=1, max_size=255))
def test_mask_carries_its_class_names(names: list[str]) -> None:
    data = render.encode_mask(
        np.zeros((1, 1), np.uint8), np.zeros((len(names), 3), np.uint8), dataset="ä", classes=names
    )
    image = Image.open(io.BytesIO(data))
    image.load()
    assert json.loads(image.text["semask"]) == {"dataset": "ä", "classes": names}


def test_mask_of_a_photograph_stays_small() -> None:
    labels = cv2.resize(np.random.RandomState(0).randint(0, 150, (20, 30), np.uint8), (1500, 1000), interpolation=0)
    data = render.encode_mask(labels, ADE20K.palette, dataset="ade20k", classes=ADE20K.classes)
    assert len(data) < 60_000


# -- colour and overlay


@given(labels=label_maps, palette=palettes)
def test_colorize_looks_colours_up(labels: np.ndarray, palette: np.ndarray) -> None:
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    np.testing.assert_array_equal(render.colorize(labels, palette), table[labels])


@given(
    labels=label_maps,
    palette=palettes,
    opacity=st.floats(0, 1),
    grey=st.integers(0, 255),
)
def test_overlay_of_any_size(labels: np.ndarray, palette: np.ndarray, opacity: float, grey: int) -> None:
    image = np.full((*labels.shape, 3), grey, np.uint8)
    before = image.copy()
    result = render.overlay(image, labels, palette, opacity=opacity)
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


def test_overlay_tints_inside_and_lightens_borders() -> None:
    labels, palette = blocks(), np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [90, 90, 90]], np.uint8)
    image = np.full((60, 80, 3), 100, np.uint8)
    result = render.overlay(image, labels, palette, opacity=0.25)
    inside = (slice(5, 20), slice(5, 30))
    np.testing.assert_array_equal(result[inside], np.broadcast_to(np.array([125, 75, 75], np.uint8), (15, 25, 3)))
    border = np.abs(np.arange(80) - 39.5) < 1
    assert (result[10, border].max(axis=0) > 180).all()
    assert (result[10, ~border].min(axis=-1) < 110).all()


def test_outlines_leave_the_inside_as_it_is_and_show_both_colours() -> None:
    image = np.full((60, 80, 3), 90, np.uint8)
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], np.uint8)
    shown = render.outlined(image, blocks(), palette)
    np.testing.assert_array_equal(shown[4:20, 4:30], image[4:20, 4:30])
    assert shown[10, 39, 0] > 150 > shown[10, 39, 1]  # class 0 at the left of the border, red
    assert shown[10, 40, 1] > 150 > shown[10, 40, 0]  # class 1 at its right, green


def test_overlay_shows_the_photograph_where_there_is_no_class() -> None:
    image = np.random.RandomState(0).randint(0, 256, (30, 30, 3), np.uint8)
    nothing = np.full((30, 30), 255, np.uint8)
    np.testing.assert_array_equal(render.overlay(image, nothing, ADE20K.palette, opacity=1), image)


def test_side_by_side_keeps_both_images() -> None:
    left, right = np.full((20, 300, 3), 10, np.uint8), np.full((20, 300, 3), 20, np.uint8)
    both = render.side_by_side(left, right)
    np.testing.assert_array_equal(both[:, :300], left)
    np.testing.assert_array_equal(both[:, -300:], right)
    assert (both[:, 300:-300] == 255).all()


# -- legend


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (7, 5), (427, 640), (1024, 2048)])
@pytest.mark.parametrize("count", [1, 2, 13, 150])
def test_legend_shows_image_and_every_swatch(size: tuple[int, int], count: int) -> None:
    image = np.full((*size, 3), 77, np.uint8)
    shares = [share(i, ADE20K.classes[i], 1 / count) for i in range(count)]
    result = render.legend(image, shares)
    height, width = size
    assert result.shape[0] > height
    assert result.shape[1] >= width
    assert (result[:height] == 77).all(-1).sum() == height * width
    panel = result[height:].reshape(-1, 3)
    swatches = {tuple(colour) for colour in np.unique(panel[panel[:, 1] == 30], axis=0).tolist()}
    assert swatches >= {(200, 30, i) for i in range(count)}
    edge = np.concatenate([result[height, :], result[-1, :], result[height:, 0], result[height:, -1]])
    assert (edge == 255).all()  # nothing runs out of the panel


def test_legend_uses_several_columns_and_larger_type_on_larger_images() -> None:
    shares = [share(i, ADE20K.classes[i], 0.05) for i in range(20)]

    def panel_height(height: int, width: int) -> int:
        return render.legend(np.zeros((height, width, 3), np.uint8), shares).shape[0] - height

    assert panel_height(100, 1600) < panel_height(1600, 100) / 4
    assert panel_height(2000, 3000) > 2 * panel_height(400, 600)


def test_legend_without_classes_is_the_image() -> None:
    image = np.random.RandomState(0).randint(0, 256, (9, 11, 3), np.uint8)
    np.testing.assert_array_equal(render.legend(image, []), image)
