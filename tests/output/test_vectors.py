"""Every format leads back to the label map, read by the tool it is for or as its definition says."""

from __future__ import annotations

import json
import os
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from shapely.geometry import Polygon, shape

from semask_cli.output import vectors

CLASSES = ("road", "büro <&>", "sky")
IGNORED = 255
label_maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.sampled_from([0, 1, 2, IGNORED])
)


def read_coco(document: dict) -> np.ndarray:
    """The label map, as pycocotools reads the document."""
    dataset = COCO()
    dataset.dataset = json.loads(vectors.encoded(document))
    dataset.createIndex()
    [image] = dataset.loadImgs(dataset.getImgIds())
    labels = np.full((image["height"], image["width"]), IGNORED, np.uint8)
    for annotation in dataset.loadAnns(dataset.getAnnIds()):
        pixels = dataset.annToMask(annotation).astype(bool)
        assert pixels.sum() == annotation["area"]
        assert coco_mask.toBbox(dataset.annToRLE(annotation)).tolist() == annotation["bbox"]
        labels[pixels] = CLASSES.index(dataset.loadCats(annotation["category_id"])[0]["name"])
    return labels


def drawn(size: tuple[int, ...], polygons: list[tuple[Polygon, int]]) -> np.ndarray:
    labels = np.full(size, IGNORED, np.uint8)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    for polygon, label in polygons:
        labels[shapely.contains_xy(polygon, x, y)] = label
    return labels


@settings(max_examples=40)
@given(labels=label_maps)
def test_coco_run_lengths(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(read_coco(vectors.coco(labels, CLASSES, name="a.jpg")), labels)


@settings(max_examples=40)
@given(labels=label_maps)
def test_coco_polygons(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(read_coco(vectors.coco_polygons(labels, CLASSES, name="a.jpg")), labels)


def test_run_lengths_of_a_large_map_are_those_of_pycocotools() -> None:
    labels = np.zeros((3000, 2000), np.uint8)
    labels[100:2900, 150:1800] = 1
    labels[500:700, 200:1700:40] = 2
    for annotation in vectors.coco(labels, CLASSES, name="a.jpg")["annotations"]:
        packed = annotation["segmentation"] | {"counts": annotation["segmentation"]["counts"].encode()}
        assert coco_mask.encode(coco_mask.decode(packed)) == packed


@settings(max_examples=40)
@given(labels=label_maps)
def test_geojson(labels: np.ndarray) -> None:
    features = json.loads(vectors.encoded(vectors.geojson(labels, CLASSES)))["features"]
    polygons = [(shape(each["geometry"]), each["properties"]) for each in features]
    for polygon, properties in polygons:
        assert polygon.area == properties["area"]
        assert polygon.exterior.is_ccw
        assert not any(hole.is_ccw for hole in polygon.interiors)
        assert properties["class"] == CLASSES[properties["index"]]
    np.testing.assert_array_equal(drawn(labels.shape, [(p, q["index"]) for p, q in polygons]), labels)


@settings(max_examples=40)
@given(labels=label_maps)
def test_cvat(labels: np.ndarray) -> None:
    root = ElementTree.fromstring(vectors.cvat(labels, CLASSES, name="a & b.jpg"))
    assert tuple(each.text for each in root.findall("meta/task/labels/label/name")) == CLASSES
    [image] = root.findall("image")
    assert image.get("name") == "a & b.jpg"
    assert (int(image.get("height", "")), int(image.get("width", ""))) == labels.shape
    polygons = [
        (
            Polygon([tuple(map(float, point.split(","))) for point in each.get("points", "").split(";")]),
            CLASSES.index(each.get("label", "")),
        )
        for each in image.findall("polygon")
    ]
    np.testing.assert_array_equal(drawn(labels.shape, polygons), labels)


@settings(max_examples=40)
@given(labels=label_maps)
def test_label_studio(labels: np.ndarray) -> None:
    [task] = json.loads(vectors.encoded(vectors.label_studio(labels, CLASSES, name="a.jpg", model="toy")))
    assert task["data"] == {"image": "a.jpg"}
    [prediction] = task["predictions"]
    polygons = []
    for each in prediction["result"]:
        size = np.array([each["original_width"], each["original_height"]])
        corners = np.array(each["value"]["points"]) / 100 * size  # per cent
        polygons.append((Polygon(corners), CLASSES.index(each["value"]["polygonlabels"][0])))
    np.testing.assert_array_equal(drawn(labels.shape, polygons), labels)


def test_names_that_are_no_text() -> None:
    name, labels = os.fsdecode(b"a\xff\x1b.jpg"), np.zeros((4, 5), np.uint8)
    assert json.loads(vectors.encoded(vectors.coco(labels, CLASSES, name=name)))["images"][0]["file_name"] == name
    image = ElementTree.fromstring(vectors.cvat(labels, CLASSES, name=name)).find("image")
    assert image is not None
    assert image.get("name") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.jpg"


@pytest.mark.parametrize("tolerance", [1, 3])
def test_a_tolerance_makes_documents_smaller(tolerance: float) -> None:
    y, x = np.mgrid[:200, :200]
    labels = (np.hypot(x - 100, y - 100) < 80).astype(np.uint8)
    exact = vectors.encoded(vectors.geojson(labels, CLASSES))
    simple = vectors.geojson(labels, CLASSES, tolerance=tolerance)
    assert len(vectors.encoded(simple)) < len(exact) / 4
    disc = shape(simple["features"][1]["geometry"])
    assert disc.area == pytest.approx(np.count_nonzero(labels), rel=tolerance / 40)
