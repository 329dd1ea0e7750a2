"""Every defect that `check` names, planted and found; and a sound folder in which nothing is found."""

import os

import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import IGNORE, classes, find_dataset, folder_dataset, read_classes
from semask_cli.datasets.check import check, refuse_defects
from semask_cli.errors import DatasetError
from tests.support import miniature


def folder(root, name="ade20k", layout="annotations", count=4):
    truth = miniature.write(root, name, layout, count=count)
    return find_dataset(name, root=root), truth


def kinds(dataset, **options):
    return {finding.kind: finding for finding in check(dataset, **options).findings if finding.kind != "subset"}


def rewrite(sample, values):
    miniature.save(sample.label, values)


@pytest.mark.parametrize(("name", "layout"), miniature.EVERY_LAYOUT)
def test_a_sound_folder_has_no_defect(tmp_path, name, layout):
    dataset, truth = folder(tmp_path, name, layout)
    report = check(name, root=tmp_path)
    assert report.dataset == dataset
    assert [finding.kind for finding in report.findings] == ["subset"]
    assert not report.fatal()
    labelled = np.concatenate([labels.ravel() for labels in truth.values()])
    assert report.pixels.tolist() == np.bincount(labelled, minlength=256)[: len(dataset.classes)].tolist()
    assert report.ignored == (labelled == IGNORE).sum()
    assert report.images_with.max() <= len(truth)


def test_an_evaluation_refuses_what_would_falsify_it(tmp_path):
    dataset, truth = folder(tmp_path)
    refuse_defects(dataset, label_limit=2, allow_missing=0)
    rewrite(dataset.samples[2], truth[dataset.samples[2].id][:-1] % 100)
    with pytest.raises(DatasetError, match="1 size") as refused:
        refuse_defects(dataset, label_limit=2, allow_missing=0)
    assert dataset.samples[2].id in refused.value.suggestion


def test_missing_files(tmp_path):
    dataset, _ = folder(tmp_path)
    dataset.samples[1].label.unlink()
    dataset.samples[2].image.unlink()
    report = check(find_dataset("ade20k", root=tmp_path))
    found = {finding.kind: finding for finding in report.findings}
    assert found["missing-label"].examples == (dataset.samples[1].id,)
    assert dataset.samples[2].label.name in found["missing-picture"].examples[0]
    assert report.missing == 2
    assert report.fatal(allow_missing=1)
    assert not report.fatal(allow_missing=2)


@pytest.mark.parametrize("label_limit", [None, 1])
def test_sizes_that_differ(tmp_path, label_limit):
    dataset, truth = folder(tmp_path)
    sample = dataset.samples[2]
    rewrite(sample, truth[sample.id][:-1] % 100)
    found = kinds(dataset, label_limit=label_limit)
    assert found.keys() == {"size"}
    assert found["size"].examples == (f"{sample.id}: image 40 x 64, label 40 x 63",)


def test_an_image_that_is_displayed_upright_has_the_size_shown(tmp_path):
    dataset, _ = folder(tmp_path)
    sample = dataset.samples[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(sample.image).rotate(90, expand=True).save(sample.image, exif=exif)
    assert not kinds(dataset, label_limit=1)
    assert not kinds(dataset)


@pytest.mark.parametrize("label_limit", [None, 1])
def test_colour_masks(tmp_path, label_limit):
    dataset, truth = folder(tmp_path)
    sample = dataset.samples[3]
    palette = np.vstack([dataset.classes.palette, np.zeros((106, 3), np.uint8)])
    rewrite(sample, palette[truth[sample.id]])
    assert kinds(dataset, label_limit=label_limit).keys() == {"colour-mask"}


def test_label_ids_where_train_ids_are_expected(tmp_path):
    dataset, truth = folder(tmp_path, "cityscapes", "labelTrainIds")
    for sample in dataset.samples[:2]:
        rewrite(sample, miniature.encode(truth[sample.id], classes("cityscapes").encodings["labelIds"]))
    found = kinds(dataset)
    assert found.keys() == {"label-ids"}
    assert found["label-ids"].count == 2


def test_train_ids_where_label_ids_are_expected(tmp_path):
    dataset, truth = folder(tmp_path, "cityscapes", "labelIds")
    for sample in dataset.samples:
        rewrite(sample, truth[sample.id])
    assert kinds(dataset).keys() == {"train-ids"}


@pytest.mark.parametrize(
    ("name", "raw", "reduced"),
    [("ade20k", "annotations", "annotations_detectron2"), ("coco-stuff10k", "mmseg", "detectron2")],
)
def test_labels_off_by_one(tmp_path, name, raw, reduced):
    dataset, truth = folder(tmp_path / "raw", name, raw)
    for sample in dataset.samples:
        rewrite(sample, np.where(truth[sample.id] == len(dataset.classes), 0, truth[sample.id]))
    assert kinds(dataset).keys() == {"reduced-twice"}

    dataset, truth = folder(tmp_path / "reduced", name, reduced)
    sample = dataset.samples[0]
    truth[sample.id][0, 0] = len(dataset.classes) - 1
    rewrite(sample, miniature.encode(truth[sample.id], dataset.classes.encodings["reduce-zero"]))
    assert kinds(dataset).keys() == {"not-reduced"}


def test_own_labels_may_have_two_values_for_no_class(tmp_path):
    (tmp_path / "classes.txt").write_text("a\nb\nc")
    miniature.save(tmp_path / "images/1.png", np.zeros((2, 3, 3), np.uint8))
    miniature.save(tmp_path / "labels/1.png", np.array([[0, 1, 2], [255, 1, 2]], np.uint8))  # no c
    own = read_classes(tmp_path / "classes.txt")
    report = check(folder_dataset(tmp_path / "images", tmp_path / "labels", own, encoding="reduce-zero"))
    assert not report.findings
    assert report.pixels.tolist() == [2, 2, 0]


def test_labels_off_by_one_are_suspected_where_nothing_is_unlabelled(tmp_path):
    dataset, truth = folder(tmp_path, "ade20k", "annotations_detectron2", count=12)
    for sample in dataset.samples:
        raw = miniature.encode(truth[sample.id], dataset.classes.encodings["reduce-zero"])
        rewrite(sample, np.where(raw == 150, 0, raw))
    found = kinds(dataset)
    assert found.keys() == {"not-reduced"}
    assert found["not-reduced"].count == 12


@pytest.mark.parametrize("value", [151, 254, 300])
def test_values_out_of_range(tmp_path, value):
    dataset, truth = folder(tmp_path)
    sample = dataset.samples[1]
    raw = miniature.encode(truth[sample.id], dataset.encoding).astype(np.int32)
    raw[5, 5] = value
    rewrite(sample, raw if value > 255 else raw.astype(np.uint8))
    found = kinds(dataset)
    assert found.keys() == {"range"}
    assert str(value) in found["range"].examples[0]


def test_an_image_without_a_labelled_pixel(tmp_path):
    dataset, truth = folder(tmp_path)
    rewrite(dataset.samples[0], np.zeros_like(truth[dataset.samples[0].id]))
    report = check(dataset)
    assert "all-ignored" in {finding.kind for finding in report.findings}
    assert not report.fatal()


@pytest.mark.parametrize("file", ["image", "label"])
def test_truncated_files(tmp_path, file):
    dataset, _ = folder(tmp_path)
    path = getattr(dataset.samples[0], file)
    path.write_bytes(path.read_bytes()[:-60])
    found = kinds(dataset)
    assert found.keys() == {"unreadable"}
    assert path.name in found["unreadable"].examples[0]


def test_a_label_limit_reads_few_labels_and_all_headers(tmp_path):
    dataset, _ = folder(tmp_path, count=6)
    assert check(dataset, label_limit=2).inspected == 2
    dataset.samples[4].label.write_bytes(b"not a PNG")
    assert kinds(dataset, label_limit=2).keys() == {"unreadable"}


def instance_file(dataset):
    return next(sample.instances for sample in dataset.samples if sample.instances)


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:60]), "unreadable"),
        (lambda file: miniature.save(file, np.zeros((5, 5), np.int32)), "size"),
        (lambda file: miniature.save(file, np.zeros((48, 64, 3), np.uint8)), "colour-mask"),
        (lambda file: miniature.save(file, np.full((48, 64), 60_001, np.int32)), "range"),
        (lambda file: Image.fromarray(np.full((48, 64), 2**30, np.int32)).save(file, "TIFF"), "range"),
    ],
)
def test_instance_ids_are_looked_at_as_an_evaluation_does(tmp_path, spoil, kind):
    dataset, _ = folder(tmp_path / "root", "cityscapes", "labelIds", count=1)
    spoil(instance_file(dataset))
    assert kinds(dataset).keys() == {kind}
    with pytest.raises(DatasetError):
        refuse_defects(dataset, label_limit=1, allow_missing=0)


def test_an_image_that_is_a_pipe_or_a_link_to_nothing_is_unreadable(tmp_path):
    dataset, _ = folder(tmp_path, count=2)
    first, second = (sample.image for sample in dataset.samples)
    first.unlink()
    os.mkfifo(first)
    second.unlink()
    second.symlink_to("nowhere.jpg")
    dataset = find_dataset("ade20k", root=tmp_path)
    assert len(dataset.samples) == 2
    for options in ({}, {"label_limit": 1}):
        found = kinds(dataset, **options)["unreadable"]
        assert found.count == 2
        assert "pipe" in found.examples[0]
