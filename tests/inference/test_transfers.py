"""Copies keep every value. (Whether a GPU's are pinned and queued, its own tests say.)"""

from __future__ import annotations

import numpy as np
import torch

from semask_cli.inference.transfers import to_device, to_host


def test_there_and_back() -> None:
    images = [np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8) for seed in range(3)]
    moved = to_device(images, torch.device("cpu"))
    assert moved.dtype == torch.uint8
    assert np.array_equal(to_host(moved).numpy(), np.stack(images))
    images[0][:] = 0
    assert moved[0].any()
