"""Class scores of masks, for a part of the image, against the published order: resize, sigmoid, sum, crop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from semask_cli.models import mask_classification
from semask_cli.models.mask_classification import MaskClassification, MaskClassifier
from semask_cli.ops import Resample, cuda_resize
from tests.support.mask_figures import class_map
from tests.support.toy_networks import tiny_mask_classifier


@settings(max_examples=40)
@given(
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    queries=st.integers(1, 6),
    classes=st.integers(1, 5),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_scores_follow_the_published_order(
    height: int, width: int, queries: int, classes: int, seed: int, data: st.DataObject
) -> None:
    y0 = data.draw(st.integers(0, height - 1))
    y1 = data.draw(st.integers(y0 + 1, height))
    x0 = data.draw(st.integers(0, width - 1))
    x1 = data.draw(st.integers(x0 + 1, width))
    padded = (height + -height % 32, width + -width % 32)
    generator = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(queries, classes + 1, generator=generator)
    mask_logits = 4 * torch.randn(queries, padded[0] // 4, padded[1] // 4, generator=generator)

    resized = F.interpolate(mask_logits[None], padded, mode="bilinear", align_corners=False)[0]
    scores = torch.einsum("qc,qhw->chw", class_logits.softmax(-1)[:, :-1], resized.sigmoid())[:, :height, :width]

    prediction = MaskClassification(class_logits, mask_logits, (height, width), padded)
    part = prediction.class_map(range(y0, y1), range(x0, x1))
    assert (part.heights, part.widths, part.origin) == ((height,), (width,), (y0, x0))
    torch.testing.assert_close(part.maps, scores[:, y0:y1, x0:x1], atol=1e-5, rtol=1e-5)


def test_rows_of_masks_that_a_kernel_wrote_are_not_copied(on_host: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A width that four does not divide: the kernels' rows are longer."""
    generator = torch.Generator().manual_seed(0)
    class_logits, mask_logits = (torch.randn(*shape, generator=generator) for shape in ((6, 5), (6, 8, 16)))
    prediction = MaskClassification(class_logits, mask_logits, (30, 61), (32, 64))
    expected = prediction.class_map(range(3, 30), range(61))
    written = cuda_resize.cuda_sigmoid(mask_logits, Resample((8, 32), (16, 64), range(3, 30), range(61)))
    assert not written.is_contiguous()
    monkeypatch.setattr(mask_classification, "resize_sigmoid", cuda_resize.cuda_sigmoid)
    monkeypatch.setattr(torch.Tensor, "contiguous", None)
    torch.testing.assert_close(prediction.class_map(range(3, 30), range(61)).maps, expected.maps)


@pytest.fixture(scope="module", params=["swin-l-mf", "swin-l-m2f", "swin-l-m2f-fapn", "swin-l-m2f-msfapn"])
def small(request: pytest.FixtureRequest) -> MaskClassifier:
    return tiny_mask_classifier(request.param)


@torch.inference_mode()
def test_a_batch_is_its_images_one_by_one(small: MaskClassifier) -> None:
    pixels = torch.randn(2, 3, 70, 101)
    together = small.predict(pixels)
    for image, prediction in zip(pixels, together, strict=True):
        (alone,) = small.predict(image[None])
        assert prediction.size == (70, 101)
        torch.testing.assert_close(class_map(prediction), class_map(alone), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_half_precision_by_autocast_stays_close(small: MaskClassifier) -> None:
    pixels = torch.randn(1, 3, 64, 96)
    expected = class_map(small.predict(pixels)[0])
    with torch.autocast("cpu", torch.bfloat16):
        (prediction,) = small.predict(pixels)
    half = class_map(prediction)
    assert half.dtype == torch.float32
    assert not torch.equal(half, expected)
    assert np.corrcoef(half.flatten(), expected.flatten())[0, 1] > 0.99


@torch.inference_mode()
def test_padding_comes_after_normalising(small: MaskClassifier) -> None:
    pixels = torch.randn(1, 3, 65, 33)
    (prediction,) = small.predict(pixels)
    assert isinstance(prediction, MaskClassification)
    padded = torch.zeros(1, 3, 96, 64)
    padded[:, :, :65, :33] = pixels
    class_logits, mask_logits = small(padded)
    assert prediction.padded_size == (96, 64)
    torch.testing.assert_close(prediction.class_logits, class_logits[0])
    torch.testing.assert_close(prediction.mask_logits, mask_logits[0])
