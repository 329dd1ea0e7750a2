"""Sums of table rows are bilinear samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.ops.bilinear_bags import bilinear_bags


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_they_are_what_grid_sample_gives(height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(height, width, generator=generator, dtype=torch.float64)
    table = F.pad(image, (1, 1, 1, 1)).flatten()  # one row for each pixel, and a border of zeros
    x, y = (torch.rand(2, 50, generator=generator, dtype=torch.float64) * 14 - 2).unbind()
    weight = torch.randn(50, generator=generator, dtype=torch.float64)

    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    expected = F.grid_sample(image[None, None], grid[None, None], align_corners=False)[0, 0, 0] * weight

    rows, shares = bilinear_bags(
        *(x, y, weight),
        width=torch.tensor([width], dtype=x.dtype),
        height=torch.tensor([height], dtype=x.dtype),
        first=torch.tensor([width + 3], dtype=torch.int32),
        step=1,
    )
    torch.testing.assert_close((table[rows.long()] * shares).sum(-1), expected, atol=1e-12, rtol=0)
