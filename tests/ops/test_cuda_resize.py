"""resize.py's plain formulations against torch's, and kernels/resize_*.cu, run on the CPU, against both."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from semask_cli.ops import cuda_resize, resize
from semask_cli.ops.resample import Resample, bilinear_taps, source_range
from semask_cli.ops.resize import resize_accumulate, resize_argmax, resize_sigmoid

SIZES = [
    pytest.param((6, 24), (7, 28), id="to the input"),
    pytest.param((6, 24, 61), (7, 28, 83), id="to a larger image"),
    pytest.param((6, 24, 19), (7, 28, 30), id="to a smaller image"),
    pytest.param((6, 24, 13), (9, 36, 5), id="to an image smaller than the maps"),
    pytest.param((6,), (8,), id="not resized"),
    pytest.param((3, 11, 12), (6, 21, 43), id="odd sizes"),
]
CLOSE = 1e-5  # of numbers up to 10; positions are float32's, as in F.interpolate, and slopes are steep
ONE_STEP = SIZES[:1] + SIZES[4:5]


Span = tuple[int, int]


@st.composite
def spans(draw: st.DrawFn, length: int) -> Span:
    """A part of an axis."""
    start = draw(st.integers(0, length - 1))
    return start, draw(st.integers(start + 1, length))


def tile(
    heights: tuple[int, ...], widths: tuple[int, ...], rows: Span, columns: Span, origin: tuple[int, int] = (0, 0)
) -> Resample:
    return Resample(heights, widths, range(*rows), range(*columns), origin)


def whole(heights: tuple[int, ...], widths: tuple[int, ...]) -> Resample:
    """All rows and columns of the result, from maps that are whole."""
    return tile(heights, widths, (0, heights[-1]), (0, widths[-1]))


def random_maps(heights: tuple[int, ...], widths: tuple[int, ...], *, maps: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(maps, heights[0], widths[0], generator=torch.Generator().manual_seed(seed)) * 3


def one_after_the_other(maps: Tensor, heights: tuple[int, ...], widths: tuple[int, ...]) -> Tensor:
    """As the published code resizes, in float64."""
    maps = maps.double()[None]
    for size in zip(heights[1:], widths[1:], strict=True):
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    return maps[0]


@pytest.mark.parametrize(("heights", "widths"), SIZES)
def test_taps_are_the_chain_of_resizes(heights: tuple[int, ...], widths: tuple[int, ...]) -> None:
    maps = random_maps(heights, widths)
    expected = one_after_the_other(maps, heights, widths)
    result = resize.resize(maps, whole(heights, widths))
    torch.testing.assert_close(result.double(), expected, atol=CLOSE, rtol=0)


def test_an_axis_that_shrinks_before_it_grows() -> None:
    with pytest.raises(ValueError, match=r"through \(40, 10, 80\) shrinks before its last resize"):
        bilinear_taps((40, 10, 80))


@pytest.fixture(params=["plain", "kernel"])
def operators(request: pytest.FixtureRequest) -> object:
    """Where argmax, accumulate and sigmoid are called: as defined in plain torch, or the kernels on the CPU."""
    if request.param == "kernel":
        request.getfixturevalue("on_host")
        return SimpleNamespace(
            argmax=cuda_resize.cuda_argmax, accumulate=cuda_resize.cuda_accumulate, sigmoid=cuda_resize.cuda_sigmoid
        )
    return SimpleNamespace(argmax=resize_argmax, accumulate=resize_accumulate, sigmoid=resize_sigmoid)


@pytest.mark.parametrize(("heights", "widths"), SIZES)
def test_argmax(operators: object, heights: tuple[int, ...], widths: tuple[int, ...]) -> None:
    maps = random_maps(heights, widths)
    top = one_after_the_other(maps, heights, widths).topk(2, dim=0)
    labels = operators.argmax(maps, tile(heights, widths, (1, heights[-1]), (2, widths[-1] - 1)))
    assert labels.dtype == torch.uint8
    close = top.values[0] - top.values[1] < 1e-5
    assert ((labels == top.indices[0, 1:, 2:-1]) | close[1:, 2:-1]).all()


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("heights", "widths"), SIZES)
def test_accumulate(
    operators: object, heights: tuple[int, ...], widths: tuple[int, ...], flip: bool, softmax: bool
) -> None:
    maps = random_maps(heights, widths)
    expected = one_after_the_other(maps, heights, widths)
    expected = expected.softmax(0) if softmax else expected
    scores = torch.full((5, heights[-1] - 2, widths[-1] - 3), 0.5)
    columns = (1, widths[-1] - 2)
    resample = tile(heights, widths, (2, heights[-1]), columns)
    operators.accumulate(scores, maps, resample, flip=flip, softmax=softmax)
    expected = expected[:, 2:, 1:-2]
    expected = expected.flip(2) if flip else expected
    torch.testing.assert_close(scores.double() - 0.5, expected, atol=CLOSE, rtol=0)


@pytest.mark.parametrize(("heights", "widths"), ONE_STEP)
def test_sigmoid(operators: object, heights: tuple[int, ...], widths: tuple[int, ...]) -> None:
    maps = random_maps(heights, widths)
    masks = operators.sigmoid(maps, tile(heights, widths, (1, heights[-1]), (3, 7)))
    expected = one_after_the_other(maps, heights, widths).sigmoid()
    torch.testing.assert_close(masks.double(), expected[:, 1:, 3:7], atol=CLOSE, rtol=0)


def test_maps_that_hold_only_what_is_needed(operators: object) -> None:
    heights, widths = (20, 47), (9, 36)
    maps = random_maps(heights, widths)
    ys, xs = source_range(heights, range(30, 40)), source_range(widths, range(13, 21))
    held = maps[:, ys.start : ys.stop, xs.start : xs.stop]
    part = operators.argmax(held, tile(heights, widths, (30, 40), (13, 21), (ys.start, xs.start)))
    expected = operators.argmax(maps, whole(heights, widths))
    assert torch.equal(part, expected[30:40, 13:21])


def test_rows_that_are_padded_are_written_in_place(on_host: None, monkeypatch: pytest.MonkeyPatch) -> None:
    heights, widths = (6, 24), (7, 27)
    padded = torch.zeros(5, 24, 28)
    monkeypatch.setattr(Tensor, "__iadd__", None)  # no second addition
    cuda_resize.cuda_accumulate(padded[..., :27], random_maps(heights, widths), whole(heights, widths))
    assert padded[..., :27].abs().sum() > 0


def test_maps_that_are_a_view(operators: object) -> None:
    heights, widths = (6, 24), (7, 28)
    channels_last = random_maps(heights, widths)[None].contiguous(memory_format=torch.channels_last)[0]
    cropped = F.pad(random_maps(heights, widths), (0, 3, 0, 2))[:, :6, :7]
    expected = operators.argmax(random_maps(heights, widths), whole(heights, widths))
    for maps in (channels_last, cropped):
        assert torch.equal(operators.argmax(maps, whole(heights, widths)), expected)


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
        torch.testing.assert_close(scores.double(), expected, atol=CLOSE, rtol=0)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 90), st.integers(1, 90), st.integers(0, 99))
def test_no_winner_is_missing_among_the_contenders(h: int, w: int, height: int, width: int, seed: int) -> None:
    """Where some maps are left out because they cannot be greatest, the greatest are the same."""
    maps = torch.randn(6, h, w, generator=torch.Generator().manual_seed(seed))
    resample = whole((h, 4 * h, height), (w, 4 * w, width))
    assert torch.equal(resize_argmax(maps, resample), resize.resize(maps, resample).argmax(0).to(torch.uint8))


def test_logits_that_are_no_numbers_get_some_label(operators: object) -> None:
    heights, widths = (6, 24), (7, 28)
    labels = operators.argmax(random_maps(heights, widths) * torch.nan, whole(heights, widths))
    assert labels.shape == (24, 28)
    assert labels.max() < 5


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


def test_schemas_and_fakes() -> None:
    maps, plain = random_maps((6, 24), (7, 28)), whole((6, 24), (7, 28)).to_plain()
    for operator, arguments in (
        (torch.ops.semask.resize_argmax, (maps, *plain)),
        (torch.ops.semask.resize_sigmoid, (maps, *plain)),
        (torch.ops.semask.resize_accumulate, (torch.zeros(5, 24, 28), maps, *plain)),
    ):
        torch.library.opcheck(operator, arguments)
