"""Windows hold every token once."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.models.windows import (
    BOTTOM,
    RIGHT,
    cut_windows,
    join_windows,
    window_batches,
    window_partition,
    window_reverse,
)

CPU = torch.device("cpu")

sizes = given(
    maps=st.integers(1, 3),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    window=st.integers(2, 9),
    shifted=st.booleans(),
    batch=st.integers(1, 12),
)


@sizes
def test_every_token_stands_in_one_window(
    maps: int, height: int, width: int, window: int, shifted: bool, batch: int
) -> None:
    tokens = torch.arange(1.0, maps * height * width + 1)[:, None]
    shift = window // 2 * shifted
    out = torch.zeros(len(tokens) + 1, 1)
    slots = 0
    for part in window_batches(maps, height, width, window=window, shift=shift, batch=batch, device=CPU):
        windows = window_partition(tokens, part, padding=torch.zeros(1))
        assert windows.shape[0] == sum(count for _, count in part.borders) * window**2 <= batch * window**2
        assert (windows[part.padding_slots] == 0).all()
        window_reverse(windows, part, out=out)
        slots += windows.shape[0]
    assert torch.equal(out[:-1], tokens)
    assert slots == maps * -(-height // window) * -(-width // window) * window**2


@sizes
def test_tables_cut_as_the_published_steps_do(
    maps: int, height: int, width: int, window: int, shifted: bool, batch: int
) -> None:
    tokens = torch.arange(1.0, maps * height * width + 1)[:, None]
    shift = window // 2 * shifted
    cut = cut_windows(tokens.view(maps, height, width, 1), window=window, shift=shift)
    assert torch.equal(join_windows(cut, height, width, shift=shift).flatten(0, 2), tokens)
    border = torch.zeros(cut.shape[:3], dtype=torch.int64)
    if shift:
        border[:, -1] += BOTTOM
        border[:, :, -1] += RIGHT
    expected = {(int(b), tuple(w)) for b, w in zip(border.flatten(), cut.flatten(0, 2)[..., 0].tolist(), strict=True)}
    found = set()
    for part in window_batches(maps, height, width, window=window, shift=shift, batch=batch, device=CPU):
        windows = window_partition(tokens, part, padding=torch.zeros(1)).view(-1, window**2).tolist()
        borders = [border for border, count in part.borders for _ in range(count)]
        found |= {(b, tuple(w)) for b, w in zip(borders, windows, strict=True)}
    assert found == expected
