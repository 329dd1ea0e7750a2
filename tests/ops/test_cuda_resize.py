"""kernels/resize_*.cu, run on the CPU, against torch's chain of resizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from semask_cli.ops import cuda_resize
from semask_cli.ops.resize import resize_accumulate, resize_argmax
from tests.support.resizing import CLOSE, Span, one_after_the_other, position_error, random_maps, tile, whole


@st.composite
def spans(draw: st.DrawFn, length: int) -> Span:
    """A part of an axis."""
    start = draw(st.integers(0, length - 1))
    return start, draw(st.integers(start + 1, length))


def test_rows_that_are_padded_are_written_in_place(on_host: None, monkeypatch: pytest.MonkeyPatch) -> None:
    heights, widths = (6, 24), (7, 27)
    padded = torch.zeros(5, 24, 28)
    monkeypatch.setattr(Tensor, "__iadd__", None)  # no second addition
    cuda_resize.cuda_accumulate(padded[..., :27], random_maps(heights, widths), whole(heights, widths))
    assert padded[..., :27].abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types(on_host: None, dtype: torch.dtype) -> None:
    heights, widths = (6, 24), (7, 28)
    maps = random_maps(heights, widths).to(dtype)
    expected = one_after_the_other(maps, heights, widths).sigmoid()
    torch.testing.assert_close(
        cuda_resize.cuda_sigmoid(maps, whole(heights, widths)).double(), expected, atol=CLOSE, rtol=0
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 12)),
    image=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    data=st.data(),
    flip=st.booleans(),
)
def test_any_part_of_any_size(
    on_host: None, size: tuple[int, int], image: tuple[int, int], data: st.DataObject, flip: bool
) -> None:
    heights, widths = ((length, 4 * length, to) for length, to in zip(size, image, strict=True))
    rows, columns = (data.draw(spans(length)) for length in image)
    maps = random_maps(heights, widths)
    expected = one_after_the_other(maps, heights, widths)[:, slice(*rows), slice(*columns)]
    expected = expected.flip(2) if flip else expected
    for accumulate in (cuda_resize.cuda_accumulate, resize_accumulate):
        scores = torch.zeros(expected.shape)
        accumulate(scores, maps, tile(heights, widths, rows, columns), flip=flip)
        bound = position_error(maps) + 4 * torch.finfo(torch.float32).eps * maps.abs().max().item()
        torch.testing.assert_close(scores.double(), expected, atol=bound, rtol=0)


def test_logits_of_any_size(on_host: None) -> None:
    heights, widths = (6, 24), (7, 28)
    maps = random_maps(heights, widths)
    maps[0] = -3e38
    maps[1, 2, 2] = 3e38
    maps[2, :, 3] = 500.0
    expected = one_after_the_other(maps, heights, widths)
    assert torch.equal(cuda_resize.cuda_argmax(maps, whole(heights, widths)), expected.argmax(0).to(torch.uint8))
    scores = torch.zeros(5, 24, 28)
    cuda_resize.cuda_accumulate(scores, maps, whole(heights, widths), softmax=True)
    torch.testing.assert_close(scores.double(), expected.softmax(0), atol=CLOSE, rtol=0)


def test_what_the_kernels_refuse(on_host: None) -> None:
    maps = random_maps((6, 24), (7, 28))
    with pytest.raises(ValueError, match=r"scores are \(4, 24, 28\) on cpu, expected \(5, 24, 28\) on cpu"):
        cuda_resize.cuda_accumulate(torch.zeros(4, 24, 28), maps, tile((6, 24), (7, 28), (0, 24), (0, 28), (0, 0)))
    with pytest.raises(ValueError, match=r"maps of 6 x 7 do not lie in 6 x 8 from \(0, 2\) on"):
        cuda_resize.cuda_argmax(maps, tile((6, 24), (8, 28), (0, 24), (0, 28), (0, 2)))
    with pytest.raises(ValueError, match=r"range\(0, 24\) of an axis resized through \(6, 24\) needs more than 1 to 6"):
        cuda_resize.cuda_argmax(maps[:, 1:], tile((6, 24), (7, 28), (0, 24), (0, 28), (1, 0)))
    with pytest.raises(ValueError, match="the tile needs rows 0 to 6, the maps hold 1 to 6"):
        resize_argmax(maps[:, 1:], tile((6, 24), (7, 28), (0, 24), (0, 28), (1, 0)))
