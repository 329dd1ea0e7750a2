"""No output of an evaluation replaces a file that is read, by whatever path it is named."""

import os

import numpy as np
import pytest

import semask_cli
from semask_cli.datasets import folder_dataset, read_classes
from semask_cli.errors import DatasetError, OutputError
from semask_cli.evaluation.compare import write_comparison
from tests.support import miniature


@pytest.fixture
def own(tmp_path):
    """Images, labels and masks of the user's own: (folder, dataset)."""
    for number in range(2):
        miniature.save(tmp_path / f"images/{number}.png", np.zeros((6, 8, 3), np.uint8))
        miniature.save(tmp_path / f"labels/{number}.png", np.full((6, 8), number, np.uint8))
        miniature.save(tmp_path / f"masks/{number}.png", np.zeros((6, 8), np.uint8))
    (tmp_path / "classes.csv").write_text("road\nsky\n")
    return tmp_path, dataset_in(tmp_path)


def dataset_in(folder):
    return folder_dataset(folder / "images", folder / "labels", read_classes(folder / "classes.csv"))


def contents(folder):
    return {file: file.read_bytes() for kind in ("images", "labels", "masks") for file in (folder / kind).iterdir()}


def hard_linked(folder):
    (folder / "out").mkdir()
    os.link(folder / "labels/0.png", folder / "out/0.png")
    return {"save_pred": folder / "out"}


def linked(folder):
    (folder / "out").symlink_to(folder / "labels")
    return {"save_pred": folder / "out"}


def linked_file(folder):
    (folder / "out").mkdir()
    (folder / "out/1.png").symlink_to(folder / "labels/1.png")
    return {"save_pred": folder / "out"}


@pytest.mark.parametrize(
    "outputs",
    [
        lambda folder: {"save_pred": folder / "labels"},
        lambda folder: {"save_pred": folder / "images"},
        lambda folder: {"save_pred": folder / "masks"},
        lambda folder: {"save_pred": folder / "masks/../labels", "limit": 1},
        hard_linked,
        linked,
        linked_file,
        lambda folder: {"report": folder},  # its classes.csv would replace the class file
    ],
)
def test_an_output_that_is_an_input_is_refused_and_nothing_is_touched(own, outputs):
    folder, dataset = own
    arguments = outputs(folder)
    before = contents(folder)
    with pytest.raises(OutputError, match=r"would replace .*(\d\.png|classes\.csv), which is read"):
        semask_cli.evaluate(dataset, folder / "masks", journal=folder / "journal", **arguments)
    assert contents(folder) == before
    assert (folder / "classes.csv").read_text() == "road\nsky\n"
    assert not (folder / "journal").exists()


def test_masks_are_not_written_among_images(own):
    folder, _ = own
    for number in range(2):
        (folder / f"images/{number}.png").rename(folder / f"images/{number}.bmp")
    dataset, before = dataset_in(folder), contents(folder)
    with pytest.raises(OutputError, match="images is searched for images or labels"):
        semask_cli.evaluate(dataset, folder / "masks", journal=folder / "journal", save_pred=folder / "images")
    assert contents(folder) == before


def test_a_submission_is_no_label(planted):
    root, masks = planted("cityscapes", "labelIds", 1)
    label = next(root.rglob("*_labelIds.png"))
    with pytest.raises(OutputError, match=label.name):
        semask_cli.evaluate("cityscapes", masks, root=root, submission=label)


@pytest.mark.slow
def test_the_command_refuses_to_replace_labels(semask, own):
    folder, _ = own
    before = contents(folder)
    inputs = ("--images", "images", "--labels", "labels", "--classes", "classes.csv", "-m", "toy-street-fpn")
    (folder / "classes.csv").write_text("\n".join(f"class {n}" for n in range(19)))
    done = semask("eval", *inputs, "--save-pred", "labels", check=4)
    assert "labels/0.png" in done.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["save_pred", "journal", "report", "submission"])
def test_a_file_where_a_folder_is_needed_is_refused_before_the_first_image(own, name, planted):
    folder, _ = own
    root, masks = planted("cityscapes", "labelIds", 1)
    (folder / "file").write_text("in the way")
    place = folder / "file/below" if name == "submission" else folder / "file"
    arguments = {"journal": folder / "journal", name: place}
    with pytest.raises(OutputError, match="file is a file, but results need a folder"):
        semask_cli.evaluate("cityscapes", masks, root=root, **arguments)
    assert not (folder / "journal").exists()


@pytest.mark.parametrize("arguments", [{"journal": "x" * 300}, {"save_pred": "x" * 300}, {"submission": "images"}])
def test_places_that_cannot_be_written_are_refused_in_words(own, planted, arguments):
    folder, _ = own
    root, masks = planted("cityscapes", "labelIds", 1)
    with pytest.raises(OutputError, match=r"File name too long|it is a folder"):
        semask_cli.evaluate("cityscapes", masks, root=root, **{key: folder / name for key, name in arguments.items()})


def test_a_damaged_label_is_noticed_before_its_mask_is_written(own):
    folder, dataset = own
    label = folder / "labels/1.png"

    class Spoiler:
        """Damages a label after the first look at it."""

        def started(self, plan):
            label.write_bytes(label.read_bytes()[:40])

        def resumed(self, records, remaining): ...

        def counted(self, record, remaining): ...

        def damaged(self, lines): ...

    with pytest.raises(DatasetError, match=label.name):
        semask_cli.evaluate(dataset, folder / "masks", save_pred=folder / "saved", progress=Spoiler())
    assert [file.name for file in (folder / "saved").iterdir()] == ["0.png"]


def test_a_comparison_does_not_replace_what_it_compares(planted, tmp_path):
    root, masks = planted("cityscapes", "labelTrainIds", 1)
    semask_cli.evaluate("cityscapes", masks, root=root, report=tmp_path / "a")
    (tmp_path / "b").mkdir()
    saved = tmp_path / "b/comparison.json"
    saved.write_bytes((tmp_path / "a/evaluation.json").read_bytes())
    with pytest.raises(OutputError, match=r"comparison\.json"):
        write_comparison(tmp_path / "b", semask_cli.compare([tmp_path / "a", saved]))
