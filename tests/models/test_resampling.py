"""Bilinear resizing as matrix products, against F.interpolate."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.models.prediction import DenseLogits
from semask_cli.models.resampling import Taps, bilinear, resample

sizes = st.integers(1, 60)


@st.composite
def part(draw: st.DrawFn, size: int) -> tuple[int, int]:
    start = draw(st.integers(0, size - 1))
    return start, draw(st.integers(start + 1, size))


@given(data=st.data(), source=st.tuples(sizes, sizes), between=st.tuples(sizes, sizes), final=st.tuples(sizes, sizes))
def test_a_part_of_two_resizes_in_a_row(
    data: st.DataObject, source: tuple[int, int], between: tuple[int, int], final: tuple[int, int]
) -> None:
    maps = torch.randn(3, *source, generator=torch.Generator().manual_seed(0))
    whole = maps[None]
    for size in (between, final):
        whole = F.interpolate(whole, size, mode="bilinear", align_corners=False)
    (y0, y1), (x0, x1) = (data.draw(part(size)) for size in final)
    rows = bilinear(between[0], final[0], y0, y1).after(source[0], between[0])
    columns = bilinear(between[1], final[1], x0, x1).after(source[1], between[1])
    torch.testing.assert_close(resample(maps, rows, columns), whole[0, :, y0:y1, x0:x1], atol=1e-5, rtol=1e-5)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 90), st.integers(1, 90), st.integers(0, 99))
def test_no_winner_is_missing_among_the_contenders(h: int, w: int, height: int, width: int, seed: int) -> None:
    """Resized to the input and on to any size, a class wins only near logits that name it a contender."""
    logits = torch.randn(6, h, w, generator=torch.Generator().manual_seed(seed))
    prediction = DenseLogits(logits, (4 * h, 4 * w))
    rows, columns = bilinear(4 * h, height, 0, height), bilinear(4 * w, width, 0, width)
    winners = prediction.resample(rows, columns).argmax(0)
    rows, columns = rows.after(h, 4 * h), columns.after(w, 4 * w)
    assert rows.weights is not None
    assert columns.weights is not None
    contenders = prediction.contenders()[:, rows.first : rows.stop, columns.first : columns.stop].float()
    near = torch.einsum("yh,xw,khw->kyx", (rows.weights != 0).float(), (columns.weights != 0).float(), contenders) > 0
    assert near.gather(0, winners[None]).all()


def test_the_positions_themselves_cost_nothing() -> None:
    maps = torch.randn(2, 5, 7)
    assert bilinear(5, 5, 1, 4).weights is None
    assert torch.equal(resample(maps, Taps(1, 4), Taps(0, 7)), maps[:, 1:4])
