"""resize.py's plain formulations against torch's, and kernels/resize_*.cu, run on the CPU, against both."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from semask_cli.ops import cuda_resize, resize
from semask_cli.ops.resize import bilinear_taps, resize_accumulate, resize_argmax, resize_sigmoid

SIZES = [
    pytest.param((6, 24), (7, 28), id="to the input"),
    pytest.param((6, 24, 61), (7, 28, 83), id="to a larger picture"),
    pytest.param((6, 24, 19), (7, 28, 30), id="to a smaller picture"),
    pytest.param((6, 24, 13), (9, 36, 5), id="to a picture smaller than the maps"),
    pytest.param((6,), (8,), id="not resized"),
    pytest.param((3, 11, 12), (6, 21, 43), id="odd sizes"),
]
ONE_STEP = SIZES[:1] + SIZES[4:5]


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
    result = resize.resized(maps, heights, widths, 0, heights[-1])
    torch.testing.assert_close(result.double(), expected, atol=2e-6, rtol=0)


def test_an_axis_that_shrinks_before_it_grows() -> None:
    with pytest.raises(ValueError, match=r"through \(40, 10, 80\) shrinks before its last resize"):
        bilinear_taps((40, 10, 80))


@pytest.fixture(params=["plain", "kernel"])
def operators(request: pytest.FixtureRequest) -> object:
    """Where argmax, accumulate and sigmoid are called: as defined in plain torch, or the kernels on the CPU."""
    if request.param == "kernel":
        request.getfixturevalue("on_host")
        return cuda_resize
    return type("Plain", (), {"argmax": resize_argmax, "accumulate": resize_accumulate, "sigmoid": resize_sigmoid})


@pytest.mark.parametrize(("heights", "widths"), SIZES)
def test_argmax(operators: object, heights: tuple[int, ...], widths: tuple[int, ...]) -> None:
    maps = random_maps(heights, widths)
    top = one_after_the_other(maps, heights, widths).topk(2, dim=0)
    labels = operators.argmax(maps, heights, widths, 1, heights[-1])
    assert labels.dtype == torch.uint8
    close = top.values[0] - top.values[1] < 1e-5
    assert ((labels == top.indices[0, 1:]) | close[1:]).all()


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("heights", "widths"), SIZES)
def test_accumulate(
    operators: object, heights: tuple[int, ...], widths: tuple[int, ...], flip: bool, softmax: bool
) -> None:
    maps = random_maps(heights, widths)
    expected = one_after_the_other(maps, heights, widths)
    expected = expected.softmax(0) if softmax else expected
    expected = expected.flip(2) if flip else expected
    scores = torch.full((5, heights[-1] - 2, widths[-1]), 0.5)
    operators.accumulate(scores, maps, heights, widths, 2, heights[-1], flip=flip, softmax=softmax)
    torch.testing.assert_close(scores.double() - 0.5, expected[:, 2:], atol=5e-6, rtol=0)


@pytest.mark.parametrize(("heights", "widths"), ONE_STEP)
def test_sigmoid(operators: object, heights: tuple[int, ...], widths: tuple[int, ...]) -> None:
    maps = random_maps(heights, widths)
    masks = operators.sigmoid(maps, heights, widths, 1, heights[-1])
    expected = one_after_the_other(maps, heights, widths).sigmoid()
    torch.testing.assert_close(masks.double(), expected[:, 1:], atol=2e-6, rtol=0)


def test_maps_that_hold_only_the_rows_needed(operators: object) -> None:
    heights, widths = (20, 47), (7, 28)
    maps = random_maps(heights, widths)
    rows = bilinear_taps(heights)[0][30:40]
    held = slice(int(rows[0]), int(rows[-1]) + 2)
    part = operators.argmax(maps[:, held], heights, widths, 30, 40, first_row=held.start)
    assert torch.equal(part, operators.argmax(maps, heights, widths, 30, 40))


def test_rows_that_are_padded_are_written_in_place(on_host: None, monkeypatch: pytest.MonkeyPatch) -> None:
    heights, widths = (6, 24), (7, 27)
    padded = torch.zeros(5, 24, 28)
    monkeypatch.setattr(Tensor, "__iadd__", None)  # no second addition
    cuda_resize.accumulate(padded[..., :27], random_maps(heights, widths), heights, widths, 0, 24)
    assert padded[..., :27].abs().sum() > 0


def test_maps_that_are_a_view(operators: object) -> None:
    heights, widths = (6, 24), (7, 28)
    channels_last = random_maps(heights, widths)[None].contiguous(memory_format=torch.channels_last)[0]
    cropped = F.pad(random_maps(heights, widths), (0, 3, 0, 2))[:, :6, :7]
    expected = operators.argmax(random_maps(heights, widths), heights, widths, 0, 24)
    for maps in (channels_last, cropped):
        assert torch.equal(operators.argmax(maps, heights, widths, 0, 24), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types(on_host: None, dtype: torch.dtype) -> None:
    heights, widths = (6, 24), (7, 28)
    maps = random_maps(heights, widths).to(dtype)
    expected = one_after_the_other(maps, heights, widths).sigmoid()
    torch.testing.assert_close(cuda_resize.sigmoid(maps, heights, widths, 0, 24).double(), expected, atol=2e-6, rtol=0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 12)),
    picture=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    rows=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    flip=st.booleans(),
)
def test_any_size(
    on_host: None, size: tuple[int, int], picture: tuple[int, int], rows: tuple[float, float], flip: bool
) -> None:
    heights, widths = ((length, 4 * length, to) for length, to in zip(size, picture, strict=True))
    y0, y1 = int(min(rows) * (picture[0] - 1)), int(max(rows) * (picture[0] - 1)) + 1
    maps = random_maps(heights, widths)
    scores = torch.zeros(5, y1 - y0, picture[1])
    cuda_resize.accumulate(scores, maps, heights, widths, y0, y1, flip=flip)
    expected = one_after_the_other(maps, heights, widths)[:, y0:y1]
    expected = expected.flip(2) if flip else expected
    torch.testing.assert_close(scores.double(), expected, atol=1e-5, rtol=0)


def test_logits_of_any_size(on_host: None) -> None:
    heights, widths = (6, 24), (7, 28)
    maps = random_maps(heights, widths)
    maps[0] = -3e38
    maps[1, 2, 2] = 3e38
    maps[2, :, 3] = 500.0
    expected = one_after_the_other(maps, heights, widths)
    assert torch.equal(cuda_resize.argmax(maps, heights, widths, 0, 24), expected.argmax(0).to(torch.uint8))
    scores = torch.zeros(5, 24, 28)
    cuda_resize.accumulate(scores, maps, heights, widths, 0, 24, softmax=True)
    torch.testing.assert_close(scores.double(), expected.softmax(0), atol=1e-5, rtol=0)


def test_what_the_kernels_refuse(on_host: None) -> None:
    maps = random_maps((6, 24), (7, 28))
    with pytest.raises(ValueError, match=r"scores are \(4, 24, 28\) on cpu, expected \(5, 24, 28\) on cpu"):
        cuda_resize.accumulate(torch.zeros(4, 24, 28), maps, (6, 24), (7, 28), 0, 24)
    with pytest.raises(ValueError, match=r"maps of 6 x 7 do not lie in 6 x 8 from row 0 on"):
        cuda_resize.argmax(maps, (6, 24), (8, 28), 0, 24)
    with pytest.raises(ValueError, match=r"numbers 0 to 24 of \(6, 24\) are not all in numbers 1 to 6"):
        cuda_resize.argmax(maps[:, 1:], (6, 24), (7, 28), 0, 24, first_row=1)


def test_schemas_and_fakes() -> None:
    maps = random_maps((6, 24), (7, 28))
    for operator, arguments in (
        (resize_argmax, (maps, (6, 24), (7, 28), 0, 24)),
        (resize_sigmoid, (maps, (6, 24), (7, 28), 0, 24)),
        (resize_accumulate, (torch.zeros(5, 24, 28), maps, (6, 24), (7, 28), 0, 24)),
    ):
        torch.library.opcheck(operator, arguments)
