"""Masks are found by their names, and none is that of two images."""

import numpy as np
import pytest

from semask_cli.datasets import Sample, classes
from semask_cli.errors import DatasetError
from semask_cli.evaluation.sources import MaskFolder
from tests.support import miniature


def test_a_mask_is_found_by_path_then_name_then_what_its_name_goes_on_with(tmp_path):
    samples = [
        Sample(id=key, image=tmp_path / f"{key}.jpg")
        for key in ("a/img_1", "b/img_1", "img_10", "img_2", "img_2_b", "x")
    ]
    for name in ("a/img_1", "b/img_1", "deep/img_10", "img_2.pred", "img_2_b", "other"):
        miniature.save(tmp_path / "masks" / f"{name}.png", np.zeros((2, 2), np.uint8))
    masks = MaskFolder(tmp_path / "masks", samples, classes("cityscapes").encodings["trainIds"])
    names = {p.id: masks.file_of(p).name for p in samples if p not in masks.missing}
    assert names == {
        "a/img_1": "img_1.png",
        "b/img_1": "img_1.png",
        "img_10": "img_10.png",
        "img_2": "img_2.pred.png",
        "img_2_b": "img_2_b.png",
    }
    assert masks.file_of(samples[1]) == tmp_path / "masks/b/img_1.png"
    assert [sample.id for sample in masks.missing] == ["x"]
    miniature.save(tmp_path / "masks/img_2_other.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(DatasetError, match="two masks for img_2"):
        MaskFolder(tmp_path / "masks", samples, classes("cityscapes").encodings["trainIds"])


def test_a_mask_is_never_that_of_two_images(tmp_path):
    samples = [Sample(id=key, image=tmp_path / f"{key}.jpg") for key in ("a/1", "b/1", "img_1", "img_1_2")]
    encoding = classes("cityscapes").encodings["trainIds"]
    for name in ("a/1", "img_1_2_pred"):
        miniature.save(tmp_path / "masks" / f"{name}.png", np.zeros((2, 2), np.uint8))
    masks = MaskFolder(tmp_path / "masks", samples, encoding)
    assert [sample.id for sample in masks.missing] == ["b/1", "img_1"]
    miniature.save(tmp_path / "masks/b/1_pred.png", np.zeros((2, 2), np.uint8))
    miniature.save(tmp_path / "masks/img_1_pred.png", np.zeros((2, 2), np.uint8))
    assert not MaskFolder(tmp_path / "masks", samples, encoding).missing
    (tmp_path / "masks/b/1_pred.png").rename(tmp_path / "masks/1.png")
    with pytest.raises(DatasetError, match=r"1\.png may be the mask of a/1 or of b/1"):
        MaskFolder(tmp_path / "masks", samples, encoding)
