"""The class map of dense logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from semask_cli.models.prediction import DenseLogits
from semask_cli.ops.resize import resize


def test_dense_logits_are_resized_to_the_input_and_on_to_the_image() -> None:
    prediction = DenseLogits(torch.randn(5, 6, 7), (23, 28))
    part = prediction.class_map(range(3, 9), range(1, 20))
    at_input = F.interpolate(prediction.logits[None], (23, 28), mode="bilinear")
    tile = resize(part.maps, part.resample(range(3, 9), range(1, 20)))
    torch.testing.assert_close(tile, at_input[0, :, 3:9, 1:20], atol=1e-5, rtol=0)
    at_image = F.interpolate(at_input, (50, 61), mode="bilinear")
    tile = resize(part.maps, part.resample(range(40, 50), range(9), size=(50, 61)))
    torch.testing.assert_close(tile, at_image[0, :, 40:50, :9], atol=1e-5, rtol=0)


def test_dense_logits_fill_no_buffer() -> None:
    prediction = DenseLogits(torch.randn(5, 6, 7), (23, 28))
    assert (prediction.nbytes, prediction.buffer_nbytes) == (5 * 6 * 7 * 4, 0)
    assert prediction.released() is prediction
    assert torch.equal(prediction.to(torch.device("cpu")).logits, prediction.logits)
