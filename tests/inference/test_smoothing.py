"""Labels of frames whose scores are averaged with those of the frames before."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from semask_cli.errors import UsageError
from semask_cli.inference import smoothing as module
from semask_cli.inference.merge import Merge, View
from semask_cli.inference.smoothing import Smoothing
from semask_cli.models.prediction import DenseLogits

SIZE = (45, 62)


def frame(seed: int) -> Merge:
    logits = torch.randn(7, 12, 16, generator=torch.Generator().manual_seed(seed))
    view = View(DenseLogits(logits, (48, 64)))
    return Merge([view], size=SIZE, softmax=True, device=torch.device("cpu"), memory=1 << 30)


def test_it_is_the_exponential_mean_of_the_frames_scores() -> None:
    smoothing = Smoothing(0.6)
    mean = None
    for seed in range(6):
        labels = smoothing.labels(frame(seed))
        scores = frame(seed).resized((23, 31)).scores().double()
        mean = scores if mean is None else 0.6 * mean + 0.4 * scores
        full = torch.nn.functional.interpolate(mean[None], SIZE, mode="bilinear")[0]
        best = full.topk(2, dim=0).values
        sure = best[0] - best[1] > 1e-5
        assert sure.float().mean() > 0.99
        assert torch.equal(labels[sure], full.argmax(0)[sure].to(torch.uint8))


def test_noise_turns_fewer_labels_and_what_stands_still_does_not_change() -> None:
    def turned(weight: float) -> float:
        smoothing = Smoothing(weight)
        labels = [smoothing.labels(frame(seed)).numpy() for seed in range(12)]
        return float(np.mean([before != after for before, after in pairwise(labels[4:])]))

    assert turned(0.8) < turned(0.5) < turned(0)
    smoothing = Smoothing(0.5)
    assert all(torch.equal(smoothing.labels(frame(1)), Smoothing(0).labels(frame(1))) for _ in range(3))


def test_a_block_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 3)
    smoothing = Smoothing(0.9)
    for seed in range(7):
        alone = Smoothing(0.9).labels(frame(seed))
        assert torch.equal(smoothing.labels(frame(seed)), alone) == (seed in (0, 3, 6))


@pytest.mark.parametrize("weight", [-0.1, 1.0, float("nan")])
def test_a_weight_that_sees_nothing_new(weight: float) -> None:
    with pytest.raises(UsageError, match="from 0 to below 1"):
        Smoothing(weight)
