"""Windows hold every token once."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.models.windows import cut_map

CPU = torch.device("cpu")


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    window=st.integers(2, 9),
    shifted=st.booleans(),
    at_once=st.integers(1, 12),
)
def test_every_token_stands_in_one_window(height: int, width: int, window: int, shifted: bool, at_once: int) -> None:
    tokens = torch.arange(1.0, height * width + 1).view(1, -1, 1).repeat(2, 1, 1)
    shift = window // 2 * shifted
    out = torch.zeros_like(tokens)
    slots = 0
    for windows in cut_map(height, width, window=window, shift=shift, at_once=at_once, device=CPU):
        rows = windows.cut(tokens, padding=torch.zeros(1))
        assert rows.shape[1] <= at_once * window**2
        assert (rows[:, windows.padding] == 0).all()
        windows.put(rows, out)
        slots += rows.shape[1]
    assert torch.equal(out, tokens)
    assert slots == -(-height // window) * -(-width // window) * window**2
