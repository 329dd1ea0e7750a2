"""Files for the servers, and the benchmark's own program on what we write for it."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import classes, find_dataset
from semask_cli.errors import OutputError
from semask_cli.evaluation import submission
from semask_cli.evaluation.submission import write_submission
from tests.support import miniature


def test_cityscapes_own_program_gives_our_figure_on_the_submission(semask, planted, tmp_path, official):
    root, masks = planted("cityscapes", "labelIds")
    command = ("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--definition", "cityscapes", "--json")
    ours = json.loads(semask(*command, "--submission", tmp_path / "submission.zip").stdout)
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        archive.extractall(tmp_path / "unzipped")
        names = archive.namelist()
    dataset = find_dataset("cityscapes", root=root)
    assert sorted(names) == sorted(sample.image.name for sample in dataset.samples)
    files = [(tmp_path / "unzipped" / sample.image.name, sample.label) for sample in dataset.samples]
    theirs = official(files)
    assert ours["miou"] / 100 == pytest.approx(theirs["averageScoreClasses"], abs=1e-12)
    for key, name in (
        ("category_iou", "averageScoreCategories"),
        ("iiou", "averageScoreInstClasses"),
        ("category_iiou", "averageScoreInstCategories"),
    ):
        assert ours["cityscapes"][key] / 100 == pytest.approx(theirs[name], abs=1e-12)


def test_images_without_labels_are_predicted_for_ade20ks_server(semask, tmp_path):
    palette = classes("ade20k").palette
    predicted = {}
    for number in (1, 2, 3):
        name = f"ADE_test_{number:08d}"
        predicted[name] = miniature.labels(40, 30, 150, seed=number)
        miniature.save(tmp_path / f"root/release_test/testing/{name}.jpg", np.zeros((40, 30, 3), np.uint8))
        miniature.save_palette(tmp_path / f"masks/{name}.png", predicted[name], palette)
    command = ("eval", "-d", "ade20k", "--root", tmp_path / "root", "--split", "test", "--pred", tmp_path / "masks")
    done = semask(*command, "--submission", tmp_path / "out.zip")
    assert "3 masks, read back and equal" in done.stderr
    assert "nothing to measure" in done.stdout
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        for name, labels in predicted.items():
            values = np.asarray(Image.open(archive.open(f"{name}.png")))
            np.testing.assert_array_equal(values, np.where(labels == 255, 0, labels + 1))
    # Without a submission such a split is refused: there is nothing to measure.
    refused = semask(*command, check=30)
    assert "3 missing-label" in refused.stderr


def test_equal_masks_make_equal_files(planted, tmp_path):
    root, _ = planted("cityscapes", "labelIds")
    dataset = find_dataset("cityscapes", root=root)
    labels = [np.full((4, 4), index, np.uint8) for index in range(len(dataset.samples))]
    for name in ("a.zip", "b.zip"):
        write_submission(tmp_path / name, dataset, dataset.samples, labels)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b.replace(b"IDAT", b"IDOT"), lambda b: b""])
def test_a_file_that_does_not_read_back_is_an_error(planted, tmp_path, monkeypatch, damage):
    root, _ = planted("cityscapes", "labelIds")
    dataset = find_dataset("cityscapes", root=root)
    labels = [np.zeros((4, 4), np.uint8)] * len(dataset.samples)
    monkeypatch.setattr(submission, "write_atomically", lambda path, content: path.write_bytes(damage(content)))
    with pytest.raises(OutputError, match="was not written correctly"):
        write_submission(tmp_path / "out.zip", dataset, dataset.samples, labels)


def test_a_dataset_without_a_server_is_refused_before_the_work(semask, planted, tmp_path):
    root, masks = planted("coco-stuff10k", "mmseg")
    command = ("eval", "-d", "coco-stuff10k", "--root", root, "--pred", masks)
    done = semask(*command, "--submission", tmp_path / "out.zip", check=2)
    assert "no benchmark server" in done.stderr
    assert not (tmp_path / "out.zip").exists()
