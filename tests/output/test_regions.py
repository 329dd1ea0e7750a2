"""Regions are the connected pixels of a class, and their outlines lead back to them."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from shapely import Polygon

from semask_cli.output.regions import Region, regions

CLASSES = 3
label_maps = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.integers(0, 3))


def polygon(region: Region, tolerance: float = 0) -> Polygon:
    return Polygon(*region.rings(tolerance=tolerance))


def filled(shape: Polygon, size: tuple[int, ...]) -> np.ndarray:
    """The pixels of a label map whose centres lie in the polygon."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return shapely.contains_xy(shape, x, y)


@settings(max_examples=40)
@given(labels=label_maps)
def test_regions_are_disjoint_and_cover_each_class(labels: np.ndarray) -> None:
    covered = np.full(labels.shape, CLASSES, np.uint8)
    found = list(regions(labels, classes=CLASSES))
    for region in found:
        height, width = region.mask.shape
        part = covered[region.y : region.y + height, region.x : region.x + width]
        assert (part[region.mask] == CLASSES).all()
        part[region.mask] = region.label
        assert region.area == region.mask.sum()
    np.testing.assert_array_equal(covered, labels)
    assert len(found) == sum(ndimage.label(labels == label)[1] for label in range(CLASSES))


@settings(max_examples=40)
@given(labels=label_maps)
def test_outlines_and_holes_are_valid_and_exact(labels: np.ndarray) -> None:
    for region in regions(labels, classes=CLASSES):
        shape = polygon(region)
        assert shape.is_valid
        assert shape.area == region.area
        inside = filled(shape, labels.shape)
        assert (labels[inside] == region.label).all()
        assert inside.sum() == region.area


@settings(max_examples=40)
@given(labels=label_maps)
def test_pieces_without_holes_are_the_region(labels: np.ndarray) -> None:
    for region in regions(labels, classes=CLASSES):
        pieces = list(region.without_holes())
        assert all(not piece.rings()[1] for piece in pieces)
        assert sum(piece.area for piece in pieces) == region.area
        assert shapely.union_all([polygon(piece) for piece in pieces]).equals(polygon(region))


@settings(max_examples=40)
@given(labels=label_maps, tolerance=st.floats(0, 4))
def test_simplified_outlines_stay_near(labels: np.ndarray, tolerance: float) -> None:
    for region in regions(labels, classes=CLASSES):
        exact, simple = region.rings()[0], region.rings(tolerance=tolerance)[0]
        assert 3 <= len(simple) <= len(exact)
        distances = shapely.distance(shapely.points(exact), shapely.LinearRing(simple))
        assert distances.max() <= tolerance + 1e-6
        assert polygon(region, tolerance).is_valid
