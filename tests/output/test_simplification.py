"""Simplified polygons have fewer corners, and are valid."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy import ndimage
from shapely import Polygon

from semask_cli.output.regions import regions
from semask_cli.output.simplification import simplified

CLASSES = 3


@pytest.mark.parametrize("tolerance", [1, 2, 3])
def test_simplified_polygons_of_noise_are_valid(tolerance: float) -> None:
    noise = np.random.default_rng(10).standard_normal((CLASSES, 48, 64))
    labels = ndimage.gaussian_filter(noise, (0, 0.8, 0.8)).argmax(axis=0).astype(np.uint8)
    found = list(regions(labels, classes=CLASSES))
    exact, simple = ([Polygon(*region.rings(tolerance=t)) for region in found] for t in (0, tolerance))
    assert all(shape.is_valid for shape in simple)
    corners = [sum(map(shapely.get_num_coordinates, shapes)) for shapes in (exact, simple)]
    assert corners[1] < 0.8 * corners[0]


def test_no_edge_leaps_over_a_hole() -> None:
    """It would touch nothing, but leave the hole outside."""
    outline = np.array([[0, 0], [40, 0], [40, 40], [24, 40], [24, 44], [20, 44], [20, 40], [0, 40]], np.int32)
    hole = np.array([[21, 41], [21, 42], [22, 42], [22, 41]], np.int32)
    assert len(simplified([outline], 5)[0]) == 4
    shell, *holes = simplified([outline, hole], 5)
    assert Polygon(shell, holes).is_valid
    assert len(shell) == len(outline)
