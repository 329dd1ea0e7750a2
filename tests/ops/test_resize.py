"""The resizing operators against torch's chain of resizes: as defined in plain torch, and as kernels run on the CPU."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.ops import cuda_resize, resize
from semask_cli.ops.resample import source_range
from semask_cli.ops.resize import resize_accumulate, resize_argmax, resize_sigmoid
from tests.support.resizing import CLOSE, SIZES, one_after_the_other, random_maps, tile, whole

ONE_STEP = SIZES[:1] + SIZES[4:5]


@pytest.mark.parametrize(("heights", "widths"), SIZES)
def test_taps_are_the_chain_of_resizes(heights: tuple[int, ...], widths: tuple[int, ...]) -> None:
    maps = random_maps(heights, widths)
    expected = one_after_the_other(maps, heights, widths)
    result = resize.resize(maps, whole(heights, widths))
    torch.testing.assert_close(result.double(), expected, atol=CLOSE, rtol=0)


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


def test_maps_that_are_a_view(operators: object) -> None:
    heights, widths = (6, 24), (7, 28)
    channels_last = random_maps(heights, widths)[None].contiguous(memory_format=torch.channels_last)[0]
    cropped = F.pad(random_maps(heights, widths), (0, 3, 0, 2))[:, :6, :7]
    expected = operators.argmax(random_maps(heights, widths), whole(heights, widths))
    for maps in (channels_last, cropped):
        assert torch.equal(operators.argmax(maps, whole(heights, widths)), expected)


def test_labels_of_maps_with_a_gradient_have_none() -> None:
    """Where all maps are resized, and where those alone that can be the greatest."""
    for size in (8, 64):
        maps = random_maps((8, size), (8, size))
        labels = resize_argmax(maps.requires_grad_(), whole((8, size), (8, size)))
        assert torch.equal(labels, resize_argmax(maps.detach(), whole((8, size), (8, size))))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 90), st.integers(1, 90), st.integers(0, 99))
def test_no_winner_is_missing_among_the_contenders(h: int, w: int, height: int, width: int, seed: int) -> None:
    """Where some maps are left out because they cannot be greatest, the greatest are the same."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(6, h, w, generator=generator)
    maps[:3] += (seed % 7) * torch.randn(3, -(-h // 4), 1, generator=generator).repeat_interleave(4, 1)[
        :, :h
    ]  # regions
    resample = whole((h, 4 * h, height), (w, 4 * w, width))
    assert torch.equal(resize_argmax(maps, resample), resize.resize(maps, resample).argmax(0).to(torch.uint8))


def test_only_maps_that_can_be_greatest_are_resized() -> None:
    maps = torch.rand(6, 8, 8) - 2
    maps[[2, 4]] += 2
    maps[4, :, :5] += 1
    maps[2, :, 5:] += 1
    assert resize._candidates(maps.numpy()).tolist() == [2, 4]
    assert resize._candidates(maps[..., :4].numpy()).tolist() == [4]
    assert (resize_argmax(maps[..., :4], whole((8, 64), (4, 32))) == 4).all()


def test_logits_that_are_no_numbers_get_some_label(operators: object) -> None:
    heights, widths = (6, 24), (7, 28)
    labels = operators.argmax(random_maps(heights, widths) * torch.nan, whole(heights, widths))
    assert labels.shape == (24, 28)
    assert labels.max() < 5


def test_schemas_and_fakes() -> None:
    maps, plain = random_maps((6, 24), (7, 28)), whole((6, 24), (7, 28)).to_plain()
    for operator, arguments in (
        (torch.ops.semask.resize_argmax, (maps, *plain)),
        (torch.ops.semask.resize_sigmoid, (maps, *plain)),
        (torch.ops.semask.resize_accumulate, (torch.zeros(5, 24, 28), maps, *plain)),
    ):
        torch.library.opcheck(operator, arguments)
