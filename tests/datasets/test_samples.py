"""Which files of a layout belong together."""

import numpy as np
import pytest

from semask_cli.datasets import find_dataset
from semask_cli.datasets.samples import files_below
from semask_cli.errors import DatasetError
from tests.support import miniature
from tests.support.permissions import folder_of_a_user


def test_files_go_by_their_relative_path_without_suffix_and_hidden_ones_are_passed_over(tmp_path):
    for name in ("b_label.png", "a/c_label.png", "a/.d_label.png", "other.png"):
        miniature.save(tmp_path / name, np.zeros((2, 2), np.uint8))
    assert files_below(tmp_path, "_label.png") == {
        "a/c": tmp_path / "a/c_label.png",
        "b": tmp_path / "b_label.png",
    }
    assert files_below(tmp_path / "nowhere") == {}


def test_suffixes_are_of_any_case_and_files_of_one_name_are_refused(tmp_path):
    for name in ("a.PNG", "b.png"):
        miniature.save(tmp_path / name, np.zeros((2, 2), np.uint8))
    assert files_below(tmp_path, ".png") == {"a": tmp_path / "a.PNG", "b": tmp_path / "b.png"}
    (tmp_path / "b.PNG").write_bytes(b"")
    if len(list(tmp_path.iterdir())) == 3:  # a file system that tells cases apart
        with pytest.raises(DatasetError, match="have one name"):
            files_below(tmp_path, ".png")


def test_instance_files_are_used_only_where_every_image_has_one(tmp_path):
    miniature.write(tmp_path, "cityscapes", "labelIds", count=3)
    next(tmp_path.rglob("*_instanceIds.png")).unlink()
    assert all(sample.instances is None for sample in find_dataset("cityscapes", root=tmp_path).samples)


def test_a_list_of_a_split_names_its_images_among_those_of_all_splits(tmp_path):
    miniature.write(tmp_path, "pascal-voc2012", "VOC2012", count=3)
    miniature.save(tmp_path / "JPEGImages/2012_000001.jpg", np.zeros((8, 8, 3), np.uint8))
    assert len(find_dataset("pascal-voc2012", root=tmp_path).samples) == 3
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("\ufeff2012_000001\n")
    assert [sample.id for sample in find_dataset("pascal-voc2012", root=tmp_path, split="train").samples] == [
        "2012_000001"
    ]


def test_city_folders_that_are_links_belong_to_the_set(tmp_path):
    truth = miniature.write(tmp_path / "root", "cityscapes", "labelIds", count=6)
    for kind in ("leftImg8bit", "gtFine"):
        city = tmp_path / f"root/{kind}/val/munster"
        city.rename(tmp_path / f"{kind}-munster")
        city.symlink_to(tmp_path / f"{kind}-munster")
    dataset = find_dataset("cityscapes", root=tmp_path / "root")
    assert [sample.id for sample in dataset.samples] == list(truth)
    assert not dataset.unlabelled
    assert all(sample.instances for sample in dataset.samples)


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with folder_of_a_user() as folder:
        (folder / "images/closed").mkdir(parents=True)
        (folder / "images/closed").chmod(0)
        with pytest.raises(DatasetError, match=r"cannot read the folder .*closed: Permission denied"):
            files_below(folder / "images")
    with pytest.raises(DatasetError, match="File name too long"):
        find_dataset("ade20k", root=tmp_path / ("x" * 300))


def test_a_list_that_is_no_text_is_named(tmp_path):
    miniature.write(tmp_path, "pascal-voc2012", "VOC2012", count=2)
    listed = tmp_path / "ImageSets/Segmentation/val.txt"
    listed.write_bytes(b"2007_000001\n\xff\xfe")
    with pytest.raises(DatasetError, match=r"val\.txt is not UTF-8"):
        find_dataset("pascal-voc2012", root=tmp_path)
    listed.unlink()
    listed.mkdir()
    with pytest.raises(DatasetError, match=r"cannot read the list .*val\.txt: Is a directory"):
        find_dataset("pascal-voc2012", root=tmp_path)
