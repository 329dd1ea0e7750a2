"""Chained resizes of an axis, as neighbours and weights, as a matrix, and as an operator's arguments."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semask_cli.ops.resample import Resample, bilinear_taps, interpolation_matrix, source_range
from tests.support.resizing import CLOSE, one_after_the_other, position_error, random_maps


def test_an_axis_that_shrinks_before_it_grows() -> None:
    with pytest.raises(ValueError, match=r"through \(40, 10, 80\) shrinks before its last resize"):
        bilinear_taps((40, 10, 80))


@given(length=st.integers(1, 20), enlarged=st.integers(1, 4), image=st.integers(1, 90), data=st.data())
def test_the_matrix_is_the_chain_of_resizes(length: int, enlarged: int, image: int, data: st.DataObject) -> None:
    sizes = (length, enlarged * length, image)
    start = data.draw(st.integers(0, image - 1))
    output = range(start, data.draw(st.integers(start + 1, image)))
    line = random_maps((1,), (length,), maps=1)
    expected = one_after_the_other(line, (1, 1, 1), sizes)[0, 0, output.start : output.stop]
    source, matrix = source_range(sizes, output), interpolation_matrix(sizes, output)
    needed = line[0, 0, source.start : source.stop]
    found = needed if matrix is None else matrix @ needed
    torch.testing.assert_close(found.double(), expected, atol=CLOSE + position_error(line), rtol=0)


def test_plain_arguments_are_the_same_resample() -> None:
    resample = Resample((6, 24), (7, 28), range(3, 9), range(1, 20), (2, 1))
    assert Resample.from_plain(*resample.to_plain()) == resample
    assert resample.output_shape == (6, 19)


def test_maps_that_do_not_lie_in_the_whole() -> None:
    maps = random_maps((6,), (7,))
    Resample((6, 24), (8, 28), range(24), range(28), (0, 1)).check(maps)
    with pytest.raises(ValueError, match=r"maps of 6 x 7 do not lie in 6 x 8 from \(0, 2\) on"):
        Resample((6, 24), (8, 28), range(24), range(28), (0, 2)).check(maps)
