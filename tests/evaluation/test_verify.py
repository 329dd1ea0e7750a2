"""Results that are verified: what was altered since, in the result, its journal or its files, is named."""

import json
import shutil

import numpy as np
import pytest

from semask_cli.datasets import IGNORE, find_dataset, read_labels
from semask_cli.evaluation.verify import verify
from semask_cli.zoo import load_zoo
from tests.support import miniature
from tests.support.command_line import measured


@pytest.fixture
def evaluated(semask, planted, tmp_path):
    """A result with its journal and dataset: (path of the result, options that name the others)."""
    root, masks = planted("cityscapes", "labelTrainIds", 6)
    command = ("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--journal", tmp_path / "journal", "--json")
    path = tmp_path / "result.json"
    path.write_text(semask(*command).stdout)
    return path, ("-d", "cityscapes", "--root", root, "--journal", tmp_path / "journal")


def test_a_result_holds_with_its_journal_and_files(semask, evaluated):
    path, options = evaluated
    printed = semask("eval", "--verify", path, *options).stdout
    assert [line.split()[0] for line in printed.splitlines()] == ["holds"] * 7
    alone = semask("eval", "--verify", path).stdout
    assert "holds  figures from the document's own counts" in alone
    assert "unknown  figures from the journal: there is no journal" in alone
    assert "unknown  files: not checked" in alone


def test_the_folder_of_a_report_is_verified(evaluated, tmp_path):
    path, _ = evaluated
    (tmp_path / "report").mkdir()
    shutil.copy(path, tmp_path / "report/evaluation.json")
    assert verify(tmp_path / "report") == verify(path)


def test_the_journal_of_the_cache_is_found(semask, planted, tmp_path):
    root, masks = planted("ade20k", "annotations", 3)
    (tmp_path / "result.json").write_text(
        semask("eval", "-d", "ade20k", "--root", root, "--pred", masks, "--json").stdout
    )
    assert "holds  figures from the journal" in semask("eval", "--verify", tmp_path / "result.json").stdout


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("miou",), 99.5, "miou is 99.5, "),
        (("classes", 3, "iou"), 12.0, "classes 3 iou is 12.0, "),
        (("picture_results", 2, "aacc"), 1.0, "image_results 2 aacc is 1.0, "),
        (("miou_by_definition", "detectron2"), 1.0, "miou_by_definition is "),
        (("left_out",), ["road"], "left_out is "),
    ],
)
def test_a_figure_that_was_altered_is_named(semask, evaluated, keys, value, said):
    path, options = evaluated
    document = json.loads(path.read_text())
    part = document
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(document))
    done = semask("eval", "--verify", path, *options, check=31)
    assert f"does not hold  figures from the document's own counts: {said}" in done.stdout
    assert f"does not hold  figures from the journal: {said}" in done.stdout
    assert "does not hold" in done.stderr


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("published", 99.0, "published is 99.0, recomputed None"), ("missing", 3, "missing is 3, recomputed 0")],
)
def test_what_is_said_beside_the_figures_is_verified_too(evaluated, key, value, said):
    path, _ = evaluated
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {key: value}))
    [own, *_] = verify(path)
    assert (own.holds, own.found) == (False, said)


def test_a_published_figure_is_that_of_the_zoo(evaluated):
    """For the very settings."""
    path, _ = evaluated
    document = json.loads(path.read_text())
    row = load_zoo().find("swin-t-fpn", dataset="cityscapes")
    settings = document["settings"] | {"model": row.name, "mode": "whole", "scales": None, "flip": False}
    for changes, holds in (
        ({"published": row.published_miou, "settings": settings}, True),
        ({"published": 99.0, "settings": settings}, False),
        ({"published": None, "settings": settings}, False),
        ({"published": None, "settings": settings | {"flip": True}}, True),
        ({"published": 99.0, "settings": settings | {"model": "of my own"}}, True),
        ({"published": row.published_miou, "settings": settings, "partial": "the first 6 of 7 images"}, False),
    ):
        path.write_text(json.dumps(document | {"partial": ""} | changes))
        assert verify(path)[0].holds == holds, changes


def test_counts_altered_with_their_figures_are_not_those_of_the_journal(semask, evaluated, planted, tmp_path):
    path, options = evaluated
    document = json.loads(path.read_text())
    document["provenance"]["counts"] = "0" * 64
    path.write_text(json.dumps(document))
    done = semask("eval", "--verify", path, *options, check=31)
    assert "holds  figures from the document's own counts" in done.stdout
    assert "figures from the journal: provenance counts is 000" in done.stdout
    for file in (tmp_path / "journal").iterdir():
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(lines[:-1]))
    assert "has no such record of " in semask("eval", "--verify", path, *options, check=31).stdout


def test_a_label_an_image_and_a_class_that_were_changed_are_named(semask, evaluated, tmp_path):
    path, options = evaluated
    dataset = find_dataset("cityscapes", root=tmp_path / "cityscapes")
    changed, painted, gone = dataset.samples[1], dataset.samples[2], dataset.samples[3]
    labels = read_labels(changed.label, dataset.encoding)
    at = np.argwhere(labels != IGNORE)[0]
    labels[tuple(at)] = (labels[tuple(at)] + 1) % 19
    miniature.save(changed.label, labels)
    miniature.save(painted.image, np.zeros((48, 64, 3), np.uint8))
    shutil.move(gone.image, tmp_path / "elsewhere.png")
    done = semask("eval", "--verify", path, *options, check=31).stdout
    assert f"does not hold  labels: changed: {changed.id}\n" in done
    assert f"does not hold  images: changed: {painted.id}\n" in done
    assert f"does not hold  files: not there: {gone.id}\n" in done
    assert "holds  classes: are those of the document" in done


def test_a_part_that_is_said_to_be_the_whole_is_named(semask, tmp_path):
    for name in "abc":
        truth = miniature.labels(12, 16, 3, seed=ord(name))
        for kind, values in (("images", truth[..., None].repeat(3, 2)), ("labels", truth), ("masks", truth)):
            miniature.save(tmp_path / kind / f"{name}.png", values)
    (tmp_path / "classes.txt").write_text("road\nsky\ntree\n")
    own = ("--images", tmp_path / "images", "--labels", tmp_path / "labels", "--classes", tmp_path / "classes.txt")
    printed = semask("eval", *own, "--pred", tmp_path / "masks", "--json", "--limit", 2).stdout
    (tmp_path / "result.json").write_text(printed)
    assert "holds  selection" in semask("eval", "--verify", tmp_path / "result.json", *own).stdout
    (tmp_path / "result.json").write_text(json.dumps(json.loads(printed) | {"partial": ""}))
    done = semask("eval", "--verify", tmp_path / "result.json", *own, check=31).stdout
    assert "does not hold  selection: said to be all images, but without c\n" in done


def test_a_shuffled_class_file_is_named(semask, tmp_path):
    truth = miniature.labels(12, 16, 3, seed=0)
    for kind, values in (("images", truth[..., None].repeat(3, 2)), ("labels", truth), ("masks", truth % 3)):
        miniature.save(tmp_path / kind / "a.png", values)
    (tmp_path / "classes.txt").write_text("road\nsky\ntree\n")
    own = ("--images", tmp_path / "images", "--labels", tmp_path / "labels", "--classes", tmp_path / "classes.txt")
    (tmp_path / "result.json").write_text(semask("eval", *own, "--pred", tmp_path / "masks", "--json").stdout)
    (tmp_path / "classes.txt").write_text("sky\nroad\ntree\n")
    done = semask("eval", "--verify", tmp_path / "result.json", *own, check=31).stdout
    assert "does not hold  classes: 0 is 'sky', was 'road', 1 is 'road', was 'sky'" in done


def test_labels_in_another_encoding_are_the_same_labels(semask, planted, evaluated, tmp_path):
    path, _ = evaluated
    truth = miniature.write(tmp_path / "other", "cityscapes", "labelIds", count=6)
    assert len(truth) == 6
    checks = {check.name: check for check in verify(path, dataset=find_dataset("cityscapes", root=tmp_path / "other"))}
    assert checks["labels"].holds


def test_a_result_says_what_it_was_made_from_and_how(semask, evaluated):
    path, _ = evaluated
    document = json.loads(path.read_text())
    run, provenance = document["run"], document["provenance"]
    assert run["command"][1:3] == ["eval", "-d"]
    assert (run["counted"], run["processes"], run["threads"]) == (6, 1, None)
    assert run["processor"]
    assert "6 of the split's 500 images are here" in provenance["split"]
    assert {len(provenance[key]) for key in ("images", "labels", "predictions", "counts")} == {64}
    assert "run" not in measured(path.read_text())
