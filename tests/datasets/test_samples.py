"""Which files of a layout belong together."""

import numpy as np

from semask_cli.datasets import find_dataset
from semask_cli.datasets.samples import files_below
from tests.support import miniature


def test_files_go_by_their_relative_path_without_suffix_and_hidden_ones_are_passed_over(tmp_path):
    for name in ("b_label.png", "a/c_label.png", "a/.d_label.png", "other.png"):
        miniature.save(tmp_path / name, np.zeros((2, 2), np.uint8))
    assert files_below(tmp_path, "_label.png") == {
        "a/c": tmp_path / "a/c_label.png",
        "b": tmp_path / "b_label.png",
    }
    assert files_below(tmp_path / "nowhere") == {}


def test_instance_files_are_used_only_where_every_image_has_one(tmp_path):
    miniature.write(tmp_path, "cityscapes", "labelIds", count=3)
    next(tmp_path.rglob("*_instanceIds.png")).unlink()
    assert all(sample.instances is None for sample in find_dataset("cityscapes", root=tmp_path).samples)


def test_a_list_of_a_split_names_its_images_among_those_of_all_splits(tmp_path):
    miniature.write(tmp_path, "pascal-voc2012", "VOC2012", count=3)
    miniature.save(tmp_path / "JPEGImages/2012_000001.jpg", np.zeros((8, 8, 3), np.uint8))
    assert len(find_dataset("pascal-voc2012", root=tmp_path).samples) == 3
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("2012_000001\n")
    assert [sample.id for sample in find_dataset("pascal-voc2012", root=tmp_path, split="train").samples] == [
        "2012_000001"
    ]
