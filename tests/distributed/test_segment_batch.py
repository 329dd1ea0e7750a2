"""Rows in, rows out, in any engine: what `predict` says of an image, errors as rows."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semask_cli.api import load
from semask_cli.distributed.answers import error_of
from semask_cli.distributed.segment_batch import SegmentBatch
from semask_cli.errors import ImageError, UnknownModelError, UsageError
from tests.support import filled


@pytest.fixture(scope="module")
def batch() -> SegmentBatch:
    return SegmentBatch("toy-street-fpn", device="cpu", save=("mask", "overlay"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.fromarray(filled.image(40, 60, 1)).save(tmp_path / "one.png")
    return tmp_path / "one.png"


def test_a_row_holds_what_a_segmentation_gives(batch: SegmentBatch, image: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(image.read_bytes()[:90])
    rows = {"id": np.array(["a", "b", "c"]), "path": np.array([str(image), str(tmp_path / "broken.png"), "gone.png"])}
    result = batch(rows)
    expected = load("toy-street-fpn", device="cpu").predict(image)
    assert tuple(result) == batch.columns
    assert result["id"] == ["a", "b", "c"]
    assert (result["width"][0], result["height"][0], result["error"][0]) == (60, 40, None)
    assert result["mask"][0] == expected.encoded("mask")
    assert result["overlay"][0] == expected.encoded("overlay")
    assert [(c["index"], c["pixels"]) for c in result["classes"][0]] == [(c.index, c.pixels) for c in expected.shares()]
    assert result["milliseconds"][0] > 0
    for number, said in ((1, "truncated"), (2, "there is no file gone.png")):
        assert [result[name][number] for name in ("width", "mask", "overlay", "milliseconds")] == [None] * 4
        assert result["classes"][number] == []
        error = error_of(result["error"][number])
        assert isinstance(error, ImageError)
        assert said in error.message


def test_it_travels_before_and_after_it_was_used(batch: SegmentBatch, image: Path) -> None:
    rows = {"id": ["a"], "bytes": [image.read_bytes()]}
    used = pickle.dumps(batch)
    assert len(used) < 10_000  # the model stays where it is
    fresh = pickle.loads(pickle.dumps(SegmentBatch("toy-street-fpn", device="cpu", save=("mask", "overlay"))))
    assert pickle.loads(used)(rows)["mask"] == fresh(rows)["mask"] == batch(rows)["mask"]
    assert fresh.settings == batch.settings


@pytest.mark.parametrize("content", ["text", 5, 10**12, 1.5, {}])
def test_bytes_that_are_none_are_an_error_of_their_row(batch: SegmentBatch, image: Path, content: object) -> None:
    result = batch({"id": ["a", "b"], "bytes": [content, memoryview(image.read_bytes())]})
    assert result["error"][0]["message"] == f"the bytes of the row a are {type(content).__name__}"
    assert result["width"] == [None, 60]


def test_what_no_row_can_tell_is_raised(batch: SegmentBatch) -> None:
    with pytest.raises(UsageError, match="rows need the columns id, and path or bytes"):
        batch({"path": ["one.jpg"]})
    with pytest.raises(UnknownModelError):
        SegmentBatch("swin-x")({"id": ["a"], "path": ["one.jpg"]})
    with pytest.raises(UsageError, match="no kind of output called 'm'"):
        SegmentBatch(save="mask")  # type: ignore[arg-type]
    assert batch({"id": [], "path": []})["mask"] == []
