"""Windows hold every token once."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.models.windows import window_groups, window_partition, window_reverse

CPU = torch.device("cpu")


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    window=st.integers(2, 9),
    shifted=st.booleans(),
    batch=st.integers(1, 12),
)
def test_every_token_stands_in_one_window(height: int, width: int, window: int, shifted: bool, batch: int) -> None:
    tokens = torch.arange(1.0, height * width + 1).view(1, -1, 1).repeat(2, 1, 1)
    shift = window // 2 * shifted
    out = torch.zeros_like(tokens)
    slots = 0
    for group in window_groups(height, width, window=window, shift=shift, batch=batch, device=CPU):
        windows = window_partition(tokens, group, padding=torch.zeros(1))
        assert windows.shape[1] <= batch * window**2
        assert (windows[:, group.padding_slots] == 0).all()
        window_reverse(windows, group, out=out)
        slots += windows.shape[1]
    assert torch.equal(out, tokens)
    assert slots == -(-height // window) * -(-width // window) * window**2
