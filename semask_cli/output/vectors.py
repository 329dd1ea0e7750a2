"""Regions of a label map in the formats of annotation tools.

COCO: cocodataset.org/#format-data; GeoJSON: RFC 7946; CVAT: "CVAT for images 1.1"; Label Studio: "predictions".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from semask_cli.errors import printable
from semask_cli.output.regions import Region, regions
from semask_cli.output.simplification import Ring


def coco(labels: NDArray[np.uint8], classes: Sequence[str], *, name: str) -> dict[str, Any]:
    """COCO with one annotation per region, its pixels as compressed run lengths; exact."""
    height, width = labels.shape
    found = (
        (region, {"size": [height, width], "counts": run_lengths(region, size=(height, width))})
        for region in regions(labels, classes=len(classes))
    )
    return _coco(found, labels.shape, classes, name=name)


def coco_polygons(
    labels: NDArray[np.uint8], classes: Sequence[str], *, name: str, tolerance: float = 0
) -> dict[str, Any]:
    """COCO with one annotation per region, as polygons. COCO polygons have no holes: such a region is cut in pieces."""
    found = (
        (region, [_flat(piece.rings(tolerance=tolerance)[0]) for piece in region.without_holes()])
        for region in regions(labels, classes=len(classes))
    )
    return _coco(found, labels.shape, classes, name=name)


def _coco(
    found: Iterable[tuple[Region, Any]], size: tuple[int, ...], classes: Sequence[str], *, name: str
) -> dict[str, Any]:
    height, width = size
    # Categories count from 1: for many readers 0 is background.
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": region.label + 1,
            "segmentation": segmentation,
            "area": region.area,
            "bbox": [region.x, region.y, region.mask.shape[1], region.mask.shape[0]],
            "iscrowd": 0,
        }
        for number, (region, segmentation) in enumerate(found, start=1)
    ]
    return {
        "images": [{"id": 1, "file_name": name, "width": width, "height": height}],
        "categories": [{"id": number, "name": label} for number, label in enumerate(classes, start=1)],
        "annotations": annotations,
    }


def run_lengths(region: Region, *, size: tuple[int, int]) -> str:
    """COCO's compressed run lengths of a region in a label map of that `size` (height, width).

    Runs alternate between outside and inside, column by column, starting outside. Each run is encoded in groups of five
    bits, lowest first, with a sign and a sixth bit for continuation, as characters from "0" on; from the fourth run on,
    the difference to the second last run is encoded.
    """
    height, width = size
    padded = np.pad(region.mask, ((1, 1), (0, 0)))
    column, row = np.nonzero((padded[1:] != padded[:-1]).T)  # alternately the start and the end of a run
    borders = (region.x + column) * height + region.y + row
    begins, ends = borders[::2], borders[1::2]
    apart = begins[1:] != ends[:-1]  # a run to the end of a column continues at the start of the next
    begins, ends = begins[np.r_[True, apart]], ends[np.r_[apart, True]]
    runs = np.diff(np.stack([begins, ends], axis=1).ravel(), prepend=0, append=height * width)
    runs = runs[: -1 if runs[-1] == 0 else None]
    differences = runs.copy()
    differences[3:] -= runs[1:-2]
    return "".join(map(_compressed, differences.tolist()))


def _compressed(count: int) -> str:
    characters = []
    while True:
        group, count = count & 31, count >> 5
        done = count == (-1 if group & 16 else 0)
        characters.append(chr((group if done else group | 32) + 48))
        if done:
            return "".join(characters)


def geojson(labels: NDArray[np.uint8], classes: Sequence[str], *, tolerance: float = 0) -> dict[str, Any]:
    """One feature per region, with holes, in pixels from the upper left corner: x to the right, y down."""
    features = []
    for region in regions(labels, classes=len(classes)):
        outer, holes = region.rings(tolerance=tolerance)
        features.append(
            {
                "type": "Feature",
                "properties": {"class": classes[region.label], "index": region.label, "area": region.area},
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [_closed(outer, turns=1), *(_closed(hole, turns=-1) for hole in holes)],
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def cvat(labels: NDArray[np.uint8], classes: Sequence[str], *, name: str, tolerance: float = 0) -> bytes:
    """CVAT XML with polygons; the pieces of a region with holes share a group."""
    height, width = labels.shape
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    listed = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels")
    for label in classes:
        ElementTree.SubElement(ElementTree.SubElement(listed, "label"), "name").text = label
    # XML cannot represent control characters, nor bytes that are not text.
    attributes = {"id": "0", "name": printable(name, limit=1000), "width": str(width), "height": str(height)}
    image = ElementTree.SubElement(root, "image", attributes)
    for number, region in enumerate(regions(labels, classes=len(classes)), start=1):
        pieces = list(region.without_holes())
        for piece in pieces:
            outline, _ = piece.rings(tolerance=tolerance)
            shape = {"label": classes[region.label], "source": "auto", "occluded": "0", "z_order": "0"}
            if len(pieces) > 1:
                shape["group_id"] = str(number)
            points = ";".join(f"{x}.00,{y}.00" for x, y in outline.tolist())
            ElementTree.SubElement(image, "polygon", shape, points=points)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def label_studio(
    labels: NDArray[np.uint8], classes: Sequence[str], *, name: str, model: str, tolerance: float = 0
) -> list[dict[str, Any]]:
    """A Label Studio task with polygons as predictions, for PolygonLabels "label" on an Image "image"."""
    height, width = labels.shape
    results = [
        {
            "type": "polygonlabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "points": (piece.rings(tolerance=tolerance)[0] * (100 / width, 100 / height)).tolist(),
                "closed": True,
                "polygonlabels": [classes[region.label]],
            },
        }
        for region in regions(labels, classes=len(classes))
        for piece in region.without_holes()
    ]
    return [{"data": {"image": name}, "predictions": [{"model_version": model, "result": results}]}]


def encoded(document: Any) -> bytes:
    """Compact JSON. Bytes of a file name that are not UTF-8 become escapes, which JSON reads back."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _flat(ring: Ring) -> list[int]:
    return ring.ravel().tolist()


def _closed(ring: Ring, *, turns: int) -> list[list[int]]:
    """The corners, closed; oriented as RFC 7946 requires for y upwards: `turns` is 1 for outlines, -1 for holes."""
    x, y = ring[:, 0].astype(np.int64), ring[:, 1].astype(np.int64)
    doubled_area = int(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    ordered = ring if doubled_area * turns > 0 else ring[::-1]
    return np.concatenate([ordered, ordered[:1]]).tolist()
