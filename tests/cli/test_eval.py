"""`semask eval` as a person runs it, on miniature folders of every layout."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import classes, find_dataset, read_labels
from semask_cli.evaluation.metrics import class_totals, confusion, metrics
from tests.support import miniature
from tests.support.command_line import measured

CITYSCAPES = ("cityscapes", "labelTrainIds")


def evaluated(done):
    return measured(done.stdout)


@pytest.mark.parametrize(("name", "layout"), miniature.EVERY_LAYOUT)
def test_every_layout_is_evaluated_at_the_size_of_its_labels(semask, planted, name, layout):
    root, masks = planted(name, layout)
    dataset = find_dataset(name, root=root)
    count = len(dataset.classes)
    total = np.zeros((count, count + 1), np.int64)
    for sample in dataset.samples:
        predicted = np.asarray(Image.open(masks / f"{sample.id}.png"))
        total += confusion(read_labels(sample.label, dataset.encoding), predicted, count)
    for definition in ("mmseg", "detectron2"):
        found = evaluated(
            semask("eval", "-d", name, "--root", root, "--pred", masks, "--json", "--definition", definition)
        )
        expected = metrics(class_totals(total), definition)
        assert found["miou"] == pytest.approx(expected.miou, abs=1e-12)
        assert found["definition"] == definition
        assert found["pictures"] == 6
        assert "6 of the split's" in found["partial"]
        assert found["left_out"] == [
            n for n, i in zip(dataset.classes.classes, expected.iou, strict=True) if np.isnan(i)
        ]


def test_the_table_names_protocol_classes_and_what_is_partial(semask, planted):
    root, masks = planted(*CITYSCAPES)
    done = semask("eval", "-d", "cityscapes", "--root", root, "--pred", masks)
    for words in ("traffic light", "mIoU ", "mmseg's definition", "partial: 6 of the split's 500", "iIoU"):
        assert words in done.stdout
    assert "journal: " in done.stderr


def test_csv_has_a_line_for_each_class(semask, planted):
    root, masks = planted(*CITYSCAPES)
    rows = list(
        csv.DictReader(semask("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--csv").stdout.splitlines())
    )
    assert [row["name"] for row in rows] == list(classes("cityscapes").classes)
    assert all(0 <= float(row["iou"]) <= 100 for row in rows)


def test_masks_of_any_kind_score_the_same(semask, planted, tmp_path):
    root, palette = planted(*CITYSCAPES)
    known = classes("cityscapes")
    for file in palette.rglob("*.png"):
        values = np.asarray(Image.open(file))
        name = file.relative_to(palette).as_posix()
        miniature.save(tmp_path / "grey" / file.name, values)
        miniature.save(tmp_path / "suffixed" / name.replace(".png", "_leftImg8bit_pred.png"), values)
        miniature.save(tmp_path / "ids" / name, miniature.encode(values, known.encodings["labelIds"]))
    command = ("eval", "-d", "cityscapes", "--root", root, "--json", "--pred")
    figures = [
        evaluated(semask(*command, palette)),
        evaluated(semask(*command, tmp_path / "grey")),
        evaluated(semask(*command, tmp_path / "suffixed")),
        evaluated(semask(*command, tmp_path / "ids", "--pred-coding", "labelIds")),
    ]
    assert len({json.dumps([document["classes"], document["picture_results"]]) for document in figures}) == 1


def test_saved_masks_score_the_same(semask, planted, tmp_path):
    root, masks = planted(*CITYSCAPES)
    command = ("eval", "-d", "cityscapes", "--root", root, "--json", "--pred")
    first = evaluated(semask(*command, masks, "--save-pred", tmp_path / "saved"))
    again = evaluated(semask(*command, tmp_path / "saved"))
    assert first["classes"] == again["classes"]
    some = next((tmp_path / "saved").rglob("*.png"))
    assert Image.open(some).mode == "P"
    # Though the journal knows the images, a mask that is gone is made again, and so is one of another run.
    written = some.read_bytes()
    for spoil in (some.unlink, lambda: miniature.save(some, np.zeros((8, 8), np.uint8))):
        spoil()
        semask(*command, masks, "--save-pred", tmp_path / "saved")
        assert some.read_bytes() == written


def test_own_folders_are_evaluated(semask, planted, tmp_path):
    root, masks = planted("cityscapes", "labelTrainIds")
    known = classes("cityscapes")
    (tmp_path / "names.txt").write_text("\n".join(known.classes))
    for file in root.rglob("*_gtFine_labelTrainIds.png"):
        target = tmp_path / "labels" / file.parent.name / file.name.replace("_gtFine_labelTrainIds", "")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    for file in root.rglob("*_leftImg8bit.png"):
        target = tmp_path / "images" / file.parent.name / file.name.replace("_leftImg8bit", "")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    published = evaluated(semask("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--json"))
    folders = ("--images", tmp_path / "images", "--labels", tmp_path / "labels")
    for names in (("--classes", tmp_path / "names.txt"), ("-d", "cityscapes")):
        own = evaluated(semask("eval", *folders, *names, "--pred", masks, "--json"))
        assert own["miou"] == published["miou"]
        assert own["partial"] == ""


def test_a_quick_look_is_marked_as_partial_and_its_images_are_not_counted_twice(semask, planted):
    root, masks = planted(*CITYSCAPES)
    command = ("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--json")
    first = evaluated(semask(*command, "--limit", 2))
    assert (first["pictures"], "the first 2 of 6 images" in first["partial"]) == (2, True)
    drawn = evaluated(semask(*command, "--limit", 2, "--shuffle-seed", 1))
    assert "drawn with seed 1" in drawn["partial"]
    assert [p["id"] for p in drawn["picture_results"]] != [p["id"] for p in first["picture_results"]]
    assert evaluated(semask(*command, "--limit", 2, "--shuffle-seed", 1)) == drawn
    whole = semask(*command)
    assert "of 6 images are already in the journal" in whole.stderr
    assert evaluated(whole) == evaluated(semask(*command, "--fresh"))


def test_a_changed_mask_or_label_is_evaluated_again(semask, planted):
    root, masks = planted(*CITYSCAPES)
    command = ("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--json")
    before = evaluated(semask(*command))
    file = min(masks.rglob("*.png"))
    original = file.read_bytes()
    miniature.save(file, np.zeros_like(np.asarray(Image.open(file))))
    changed = evaluated(semask(*command))
    assert changed["miou"] < before["miou"]
    assert changed == evaluated(semask(*command, "--fresh"))
    file.write_bytes(original)
    assert evaluated(semask(*command)) == before


def test_missing_files_are_counted_and_refused_unless_allowed(semask, planted):
    root, masks = planted("ade20k", "annotations")
    (root / "annotations/validation/ADE_val_00000002.png").unlink()
    (masks / "ADE_val_00000003.png").unlink()
    command = ("eval", "-d", "ade20k", "--root", root, "--pred", masks, "--json")
    refused = semask(*command, check=30)
    assert "1 missing-label" in refused.stderr
    no_mask = semask(*command, "--allow-missing", 1, check=30)
    assert "1 of 6 images have no mask" in no_mask.stderr
    assert "ADE_val_00000003" in no_mask.stderr
    allowed = evaluated(semask(*command, "--allow-missing", 2))
    assert (allowed["pictures"], allowed["missing"]) == (4, 2)
    assert "missing files: 2" in allowed["partial"]


def spoil_label_size(root, masks):
    file = root / "annotations/validation/ADE_val_00000001.png"
    miniature.save(file, np.asarray(Image.open(file))[:-1])
    return "1 size"


def spoil_mask_size(root, masks):
    file = masks / "ADE_val_00000001.png"
    miniature.save(file, np.asarray(Image.open(file))[:-1])
    return "its prediction is 64 x 47"


def spoil_mask_values(root, masks):
    file = masks / "ADE_val_00000001.png"
    miniature.save(file, np.full_like(np.asarray(Image.open(file)), 150))
    return "ADE_val_00000001.png holds 150"


def spoil_mask_colours(root, masks):
    miniature.save(masks / "ADE_val_00000001.png", np.zeros((48, 64, 3), np.uint8))
    return "ADE_val_00000001.png is a colour image"


def spoil_label_values(root, masks):
    file = root / "annotations/validation/ADE_val_00000001.png"
    miniature.save(file, np.full_like(np.asarray(Image.open(file)), 151))
    return "1 range"


def spoil_two_masks(root, masks):
    shutil.copy(masks / "ADE_val_00000002.png", masks / "ADE_val_00000001_b.png")
    (masks / "ADE_val_00000001.png").rename(masks / "ADE_val_00000001_a.png")
    return "two masks for ADE_val_00000001"


@pytest.mark.parametrize(
    "spoil",
    [spoil_label_size, spoil_label_values, spoil_mask_size, spoil_mask_values, spoil_mask_colours, spoil_two_masks],
)
def test_what_would_falsify_the_figure_stops_the_run_and_names_the_file(semask, planted, spoil):
    root, masks = planted("ade20k", "annotations")
    words = spoil(root, masks)
    done = semask("eval", "-d", "ade20k", "--root", root, "--pred", masks, check=30)
    assert words in done.stderr
    assert not done.stdout


def test_a_journal_of_another_evaluation_is_refused_until_begun_again(semask, planted, tmp_path):
    root, masks = planted(*CITYSCAPES)
    shutil.copytree(masks, tmp_path / "others")
    command = ("eval", "-d", "cityscapes", "--root", root, "--journal", tmp_path / "journal", "--json", "--pred")
    semask(*command, masks)
    refused = semask(*command, tmp_path / "others", check=2)
    assert "belongs to another evaluation: masks was" in refused.stderr
    semask(*command, tmp_path / "others", "--fresh")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--pred", "x", "--model", "swin-t-fpn", "-d", "ade20k"), "--pred scores masks"),
        (("--pred", "x", "--flip", "-d", "ade20k"), "--pred scores masks"),
        (("--pred-coding", "labelIds", "-d", "ade20k"), "--pred-coding needs --pred"),
        (("--verify", "x", "--json"), "--verify takes no --json"),
        (("--verify", "x", "--ms-flip"), "--verify takes no --ms-flip"),
        (("--verify", "x", "--limit", "2"), "--verify takes no --limit"),
        (("--verify", "x", "--save-pred", "y"), "--verify takes no --save-pred"),
        (("--merge", "x", "--flip"), "--merge takes no --flip"),
        (("--pred", "x"), "no dataset is named"),
        (("--pred", "x", "-d", "ade20k"), "the folder of ade20k is not given"),
        (("--pred", "x", "-d", "ade20k", "--json", "--csv"), "both print to stdout"),
        (("--pred", "x", "-d", "ade20k", "--shuffle-seed", "1"), "draws the images of --limit"),
        (("--model", "swin-t-fpm", "-d", "ade20k"), "swin-t-fpn"),
        (("--images", "x", "--labels", "y", "--pred", "z"), "--images takes --labels"),
    ],
)
def test_options_that_do_not_go_together(semask, arguments, words):
    done = semask("eval", *arguments, check=2)
    assert words in done.stderr


def test_check_and_classes_print_what_they_know(semask, planted):
    root, _ = planted("ade20k", "annotations")
    done = semask("check", "-d", "ade20k", "--root", root, "--json")
    document = json.loads(done.stdout)
    assert document["ready"]
    assert document["classes"][0]["name"] == "wall"
    assert [finding["kind"] for finding in document["findings"]] == ["subset"]
    (root / "annotations/validation/ADE_val_00000002.png").unlink()
    done = semask("check", "-d", "ade20k", "--root", root, check=30)
    assert "missing-label: 1" in done.stdout
    assert "1 missing-label" in done.stderr
    listed = json.loads(semask("classes", "cityscapes", "--json").stdout)["classes"]
    assert listed[13] == {"index": 13, "name": "car", "colour": "#00008e"}
