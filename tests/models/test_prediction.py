"""The class map of dense logits."""

from __future__ import annotations

import torch

from semask_cli.models.prediction import DenseLogits


def test_dense_logits_answer_with_themselves_to_be_resized_once() -> None:
    prediction = DenseLogits(torch.randn(5, 6, 7), (23, 28))
    part = prediction.class_map(range(3, 9), range(1, 20))
    assert torch.equal(part.maps, prediction.logits)
    assert (part.heights, part.widths, part.origin) == ((6, 23), (7, 28), (0, 0))
    assert prediction.nbytes == 5 * 6 * 7 * 4
    assert torch.equal(prediction.cpu().logits, prediction.logits)
