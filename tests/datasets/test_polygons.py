"""Polygons of Cityscapes' annotation tool: drawn as the benchmark's own program draws them, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.random import RandomState

from semask_cli.datasets import classes, find_dataset, read_labels
from semask_cli.datasets.check import check
from semask_cli.datasets.labels import mask_size
from semask_cli.errors import DatasetError
from tests.support import miniature

LABEL_IDS = classes("cityscapes").encodings["labelIds"]
ROAD = {"label": "road", "polygon": [[0, 0], [9, 0], [9, 5]]}


def write(path: Path, *objects: object, height: object = 6, width: object = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"imgHeight": height, "imgWidth": width, "objects": objects}))
    return path


def random_objects(rng: RandomState, height: int, width: int) -> list[dict[str, object]]:
    """Polygons of every label that reach over the image's edge; some are groups, some deleted."""
    return [
        {
            "label": label + "group" * int(label != "license plate" and rng.rand() < 0.2),
            "polygon": rng.randint((-5, -5), (width + 5, height + 5), (rng.randint(3, 9), 2)).tolist(),
            "deleted": int(rng.rand() < 0.1),
        }
        for label in rng.permutation(list(LABEL_IDS.names))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_they_are_drawn_as_by_the_benchmarks_own_program(tmp_path: Path, seed: int) -> None:
    program = pytest.importorskip("cityscapesscripts.preparation.json2labelImg")
    annotation = pytest.importorskip("cityscapesscripts.helpers.annotation").Annotation()
    rng = RandomState(seed)
    height, width = rng.randint(1, 90, 2).tolist()
    path = write(tmp_path / "a.json", *random_objects(rng, height, width), height=height, width=width)
    annotation.fromJsonFile(str(path))
    np.testing.assert_array_equal(read_labels(path, LABEL_IDS), program.createLabelImage(annotation, "trainIds"))
    assert mask_size(path) == (height, width)


def test_a_folder_may_hold_polygons_alone(tmp_path: Path) -> None:
    miniature.write(tmp_path, "cityscapes", "labelIds", count=2)
    drawn = find_dataset("cityscapes", root=tmp_path)
    for sample in drawn.samples:
        assert sample.label is not None
        height, width = mask_size(sample.label)
        write(Path(str(sample.label).replace("labelIds.png", "polygons.json")), ROAD, height=height, width=width)
    assert find_dataset("cityscapes", root=tmp_path).layout == "gtFine labelIds"
    for label in tmp_path.rglob("*_labelIds.png"):
        label.unlink()
    dataset = find_dataset("cityscapes", root=tmp_path)
    assert (dataset.layout, len(dataset.unlabelled)) == ("gtFine polygons", 0)
    report = check(dataset)
    assert not report.fatal()
    assert report.images_with[0] == 2


@pytest.mark.parametrize(
    ("objects", "size", "said"),
    [
        ([{"label": "raod", "polygon": [[0, 0], [1, 1], [2, 0]]}], {}, "the label raod is unknown"),
        ([{"label": "road"}], {}, "polygon"),
        ([{"label": "road", "polygon": [[0, 0], [1, "1"], [2, 0]]}], {}, "cannot read"),
        ([{"label": "road", "polygon": [[0, 0], [1, float("nan")], [2, 0]]}], {}, "a corner at nan"),
        ([{"label": "road", "polygon": [[0, 0], [1, 10**9], [2, 0]]}], {}, "a corner at 1000000000"),
        (["road"], {}, "cannot read"),
        ([ROAD], {"height": 0}, "an image of 10 x 0"),
        ([ROAD], {"width": 1 << 40}, "an image of"),
        ([ROAD], {"width": "10"}, "an image of"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, objects: list[object], size: dict[str, object], said: str) -> None:
    path = write(tmp_path / "a.json", *objects, **size)
    with pytest.raises(DatasetError, match=said) as caught:
        read_labels(path, LABEL_IDS)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    for read in (lambda path: read_labels(path, LABEL_IDS), mask_size):
        with pytest.raises(DatasetError, match=r"cannot read .*a\.json"):
            read(path)
