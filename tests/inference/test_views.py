"""The sizes of an image's views, and its pixels as a tensor. test_published_pipelines.py holds figures."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from semask_cli.inference.config import InferenceConfig, Scales
from semask_cli.inference.views import MEAN, STD, Size, normalise, resize, view_sizes
from semask_cli.zoo import load_zoo
from tests.support import filled

MMSEG, DETECTRON2 = load_zoo().find("swin-t-fpn"), load_zoo().find("swin-l-m2f")


def config(scales: Scales) -> InferenceConfig:
    return InferenceConfig(crop=(512, 512), stride=(341, 341), scales=scales)


def test_the_test_size_has_the_published_short_side() -> None:
    assert view_sizes(MMSEG, config(None), 300, 400) == [Size(512, 683)]
    assert view_sizes(DETECTRON2, config(None), 300, 400) == [Size(640, 853)]


def test_the_long_side_is_bounded() -> None:
    for spec in (MMSEG, DETECTRON2):
        [size] = view_sizes(spec, config(None), 100, 4000)
        assert size.width == spec.long_side
        assert size.height < spec.short_side


def test_only_detectron2_scales_the_resized_image() -> None:
    assert view_sizes(MMSEG, config((0.5, 2.0)), 300, 400) == [Size(256, 341), Size(1024, 1365)]
    assert view_sizes(DETECTRON2, config((0.5, 2.0)), 300, 400) == [
        Size(320, 427, via=(640, 853)),
        Size(1280, 1706, via=(640, 853)),
    ]


@given(height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_native_is_the_image_as_it_is(height: int, width: int) -> None:
    for spec in (MMSEG, DETECTRON2):
        assert view_sizes(spec, config("native"), height, width) == [Size(height, width)]


def test_opencv_resizes_for_mmseg_and_pillow_for_detectron2() -> None:
    image = filled.image(60, 80, 1)
    by_opencv = cv2.resize(image, (50, 33), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(resize(image, Size(33, 50), preprocessing="mmseg"), by_opencv)
    by_pillow = np.asarray(Image.fromarray(image).resize((50, 33), Image.Resampling.BILINEAR))
    assert np.array_equal(resize(image, Size(33, 50), preprocessing="detectron2"), by_pillow)
    assert not np.array_equal(by_opencv, by_pillow)
    assert resize(image, Size(60, 80), preprocessing="mmseg") is image


def test_pixels_are_normalised_to_the_last_bit() -> None:
    images = [filled.image(5, 7, seed) for seed in (1, 2)]
    pixels = normalise(images, torch.device("cpu"))
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    expected = (np.stack(images).astype(np.float32) - MEAN) / STD
    assert np.array_equal(pixels.numpy(), expected.transpose(0, 3, 1, 2))
