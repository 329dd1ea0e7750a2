import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import find_dataset, folder_dataset, read_classes, read_labels
from semask_cli.datasets.folders import as_dataset
from semask_cli.errors import DatasetError, UsageError
from tests.support import miniature


@pytest.mark.parametrize(("name", "layout"), miniature.EVERY_LAYOUT)
def test_every_layout_is_found_and_its_labels_mean_the_same(tmp_path, name, layout):
    truth = miniature.write(tmp_path, name, layout)
    dataset = find_dataset(name, root=tmp_path)
    assert [sample.id for sample in dataset.samples] == list(truth)
    assert not dataset.unlabelled
    assert not dataset.orphans
    for sample in dataset.samples:
        assert sample.image.exists()
        np.testing.assert_array_equal(read_labels(sample.label, dataset.encoding), truth[sample.id])
        assert (sample.instances is not None) == (name == "cityscapes")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("ade20k", "ADEChallengeData2016"),
        ("ade20k", "ade/ADEChallengeData2016"),
        ("cityscapes", "cityscapes"),
        ("coco-stuff10k", "coco_stuff10k"),
        ("coco-stuff10k", "coco/coco_stuff_10k"),
        ("pascal-context59", "VOCdevkit/VOC2010"),
        ("pascal-voc2012", "VOCdevkit/VOC2012"),
    ],
)
@pytest.mark.parametrize("variable", ["SEMASK_DATA", "DETECTRON2_DATASETS"])
def test_a_folder_of_datasets_is_searched_where_the_environment_points(tmp_path, monkeypatch, name, folder, variable):
    miniature.write(tmp_path / folder, name, next(iter(miniature.MINIATURES[name])), count=2)
    monkeypatch.setenv(variable, str(tmp_path))
    dataset = find_dataset(name)
    assert dataset.root == tmp_path / folder
    assert len(dataset.samples) == 2


def test_cityscapes_falls_back_to_label_ids_where_few_train_ids_were_made(tmp_path):
    miniature.write(tmp_path, "cityscapes", "labelIds", count=3)
    some = next(tmp_path.rglob("*_labelIds.png"))
    some.with_name(some.name.replace("labelIds", "labelTrainIds")).write_bytes(some.read_bytes())
    dataset = find_dataset("cityscapes", root=tmp_path)
    assert dataset.encoding.name == "labelIds"
    assert not dataset.unlabelled


def test_the_test_split_of_mmsegs_first_converter_has_no_suffix(tmp_path):
    miniature.write(tmp_path, "coco-stuff10k", "mmseg", count=2)
    for file in tmp_path.rglob("*_labelTrainIds.png"):
        file.rename(file.with_name(file.name.replace("_labelTrainIds", "")))
    dataset = find_dataset("coco-stuff10k", root=tmp_path)
    assert dataset.encoding.name == "reduce-zero"
    assert not dataset.unlabelled


def test_missing_labels_and_orphans_are_known(tmp_path):
    miniature.write(tmp_path, "ade20k", "annotations")
    (tmp_path / "annotations/validation/ADE_val_00000002.png").unlink()
    (tmp_path / "images/validation/ADE_val_00000003.jpg").unlink()
    dataset = find_dataset("ade20k", root=tmp_path)
    assert [sample.id for sample in dataset.unlabelled] == ["ADE_val_00000002"]
    assert [file.name for file in dataset.orphans] == ["ADE_val_00000003.png"]


def test_a_test_split_without_labels_is_found(tmp_path):
    miniature.save(tmp_path / "release_test/testing/ADE_test_00000001.jpg", np.zeros((8, 8, 3), np.uint8))
    dataset = find_dataset("ade20k", root=tmp_path, split="test")
    assert [sample.id for sample in dataset.unlabelled] == ["ADE_test_00000001"]


def test_own_folders_pair_by_path_and_stem(tmp_path):
    for name in ("a/1.jpg", "a/2.png", "b/1.jpeg"):
        miniature.save(tmp_path / "images" / name, np.zeros((8, 8, 3), np.uint8))
        miniature.save((tmp_path / "labels" / name).with_suffix(".png"), np.full((8, 8), 1, np.uint8))
    (tmp_path / "images/notes.txt").write_text("no image")
    (tmp_path / "things.txt").write_text("road\nsky\n")
    own = read_classes(tmp_path / "things.txt")
    dataset = folder_dataset(tmp_path / "images", tmp_path / "labels", own)
    assert [sample.id for sample in dataset.samples] == ["a/1", "a/2", "b/1"]
    assert not dataset.unlabelled
    reduced = folder_dataset(tmp_path / "images", tmp_path / "labels", own, encoding="reduce-zero")
    assert read_labels(reduced.samples[0].label, reduced.encoding).max() == 0


def test_two_images_for_one_label_are_refused(tmp_path):
    for name in ("1.jpg", "1.png"):
        miniature.save(tmp_path / "images" / name, np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "things.txt").write_text("road\n")
    with pytest.raises(DatasetError, match="would share a label file"):
        folder_dataset(tmp_path / "images", None, read_classes(tmp_path / "things.txt"))


def test_what_cannot_be_found_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(UsageError, match="the folder of ade20k is not given") as no_root:
        find_dataset("ade20k")
    assert "--root" in no_root.value.suggestion
    with pytest.raises(UsageError, match="no split 'val'"):
        find_dataset("coco-stuff10k", root=tmp_path, split="val")
    with pytest.raises(DatasetError, match="no images of ade20k") as empty:
        find_dataset("ade20k", root=tmp_path)
    assert str(tmp_path / "ADEChallengeData2016/images/validation") in empty.value.suggestion
    assert "https://groups.csail.mit.edu/vision/datasets/ADE20K/" in empty.value.suggestion


def test_a_dataset_that_is_found_already_takes_no_root(tmp_path):
    miniature.write(tmp_path, "ade20k", "annotations")
    dataset = find_dataset("ade20k", root=tmp_path)
    assert as_dataset(dataset) is dataset
    assert as_dataset("ade20k", root=str(tmp_path)).samples == dataset.samples
    with pytest.raises(UsageError, match="not with a Dataset"):
        as_dataset(dataset, split="val")
    with pytest.raises(UsageError, match="a dataset is a name or a Dataset, not int"):
        as_dataset(3, root=tmp_path)


def test_labels_that_cannot_be_trusted_are_refused_by_name(tmp_path):
    miniature.write(tmp_path, "ade20k", "annotations", count=1)
    dataset = find_dataset("ade20k", root=tmp_path)
    label, encoding = dataset.samples[0].label, dataset.encoding
    values = np.asarray(Image.open(label)).copy()

    values[3, 4] = 151
    miniature.save(label, values)
    with pytest.raises(DatasetError, match=r"ADE_val_00000001\.png holds 151"):
        read_labels(label, encoding)
    miniature.save(label, values.astype(np.int32) + 300)
    with pytest.raises(DatasetError, match=r"ADE_val_00000001\.png holds 30"):
        read_labels(label, encoding)
    miniature.save(label, np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DatasetError, match="colour image"):
        read_labels(label, encoding)
    label.write_bytes(label.read_bytes()[:40])
    with pytest.raises(DatasetError, match=r"cannot read .*ADE_val_00000001\.png"):
        read_labels(label, encoding)


def test_a_label_file_of_coco_stuff_version_1_0_is_named_as_such(tmp_path):
    miniature.write(tmp_path, "coco-stuff10k", "original", count=1)
    dataset = find_dataset("coco-stuff10k", root=tmp_path)
    label = dataset.samples[0].label
    label.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(512))
    with pytest.raises(DatasetError, match=r"version 1\.0"):
        read_labels(label, dataset.encoding)
