"""The sine encoding of a map's rows and columns."""

from __future__ import annotations

import math

import pytest
import torch

from semask_cli.models.positions import sine_positions


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 3), (2, 7)])
def test_it_is_the_published_formula(height: int, width: int) -> None:
    channels = 16
    encoded = sine_positions(height, width, channels, torch.device("cpu"))
    assert encoded.shape == (height, width, channels)
    for y in range(height):
        for x in range(width):
            expected = []
            for place, length in ((y, height), (x, width)):
                scaled = (place + 1) / (length + 1e-6) * 2 * math.pi
                for pair in range(channels // 4):
                    angle = scaled / 10000 ** (2 * pair / (channels // 2))
                    expected += [math.sin(angle), math.cos(angle)]
            torch.testing.assert_close(encoded[y, x], torch.tensor(expected), atol=1e-5, rtol=0)
