"""Padding by nothing is no copy."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from semask_cli.models.padding import zero_pad


def test_nothing_is_copied_where_nothing_is_padded() -> None:
    x = torch.randn(2, 3, 4)
    assert zero_pad(x, (0, 0, 0, 0)) is x
    assert torch.equal(zero_pad(x, (0, 1, 2, 0)), F.pad(x, (0, 1, 2, 0)))
