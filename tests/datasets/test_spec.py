"""A dataset is one file: what is in it is checked, and a new file is a new dataset everywhere."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from semask_cli.datasets import find_dataset, read_labels
from semask_cli.datasets.spec import SPECS, dataset_names, dataset_spec, read_spec
from semask_cli.errors import DatasetError
from tests.support import miniature

ROOT = Path(__file__).parents[2]

PONDS = """
title = "Ponds"
home = "https://example.org/ponds"
definition = "mmseg"
evaluated_split = "test"
server_encoding = "codes"
unlabelled_everywhere = true
places = [".", "Ponds"]

[splits]
test = 3

[encodings]
codes = { values = [20, 10], ignored = [0] }

[[layouts]]
name = "survey"
images = "photos/{split}"
labels = "masks/{split}"
image_suffix = ".jpg"
label_suffix = "_mask.png"
encoding = "codes"
split_folders = { test = "held-out" }

[categories]
wet = ["water"]

[clusters]
unit = "shore"
pattern = "[a-z]+_"

[classes]
water = [0, 0, 255]
"dry land" = [120, 80, 0]
"""


def test_the_published_datasets_are_the_files_in_specs():
    assert dataset_names() == ("ade20k", "cityscapes", "coco-stuff10k", "pascal-context59", "pascal-voc2012")
    for name in dataset_names():
        spec = dataset_spec(name)
        assert spec.name == name
        assert spec.home.startswith("http")
        assert spec.splits[spec.evaluated_split] > 0


def test_a_file_says_it_all(tmp_path):
    (tmp_path / "ponds.toml").write_text(PONDS)
    spec = read_spec(tmp_path / "ponds.toml")
    assert list(spec.classes) == ["water", "dry land"]
    assert spec.encodings["trainIds"].values == (0, 1)
    assert spec.encodings["codes"].values == (20, 10)
    assert [spec.clusters.cluster(name) for name in ("north_1", "north_2", "7")] == ["north_", "north_", "7"]
    [layout] = spec.layouts
    assert layout.path(layout.images, "test") == "photos/held-out"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Ponds"', "", "lacks the key 'title'"),
        ('title = "Ponds"', "title = 3", "title of ponds is 3, not a str"),
        ('home = "', 'colour = "red"\nhome = "', "unknown key 'colour'"),
        ('definition = "mmseg"', 'definition = "voc"', "unknown definition 'voc'"),
        ('pattern = "[a-z]+_"', 'pattern = "["', "the pattern '[' of clusters"),
        ('evaluated_split = "test"', 'evaluated_split = "val"', "unknown evaluated_split 'val'"),
        ('server_encoding = "codes"', 'server_encoding = "ids"', "unknown server_encoding 'ids'"),
        ("values = [20, 10]", "values = [20]", "1 values for 2 classes"),
        ("values = [20, 10]", "values = [20, 20]", "the value 20 twice"),
        ("values = [20, 10]", "values = [20, 300]", "the value 300"),
        ("values = [20, 10]", "first = 1, values = [20, 10]", "'first' and 'values'"),
        ("ignored = [0]", "skipped = [0]", "unknown key 'skipped'"),
        ("ignored = [0]", "ignored = [0], names = { pond = 7 }", "the name 'pond' of encodings.codes has the value 7"),
        ('encoding = "codes"\nsplit', 'encoding = "palette"\nsplit', "unknown encoding of layout survey 'palette'"),
        ("{ test = ", "{ val = ", "unknown split of layout survey 'val'"),
        ('["water"]', '["fire"]', "unknown class of category wet 'fire'"),
        ("water = [0, 0, 255]", "water = [0, 0, 256]", "colour of class 'water'"),
        ("[classes]", "[classes", "line"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_its_reason(tmp_path, old, new, said):
    file = tmp_path / "ponds.toml"
    assert old in PONDS
    file.write_text(PONDS.replace(old, new))
    with pytest.raises(DatasetError, match="ponds") as refused:
        read_spec(file)
    assert said in refused.value.message


@pytest.fixture
def with_ponds(tmp_path):
    """Run semask from a copy of the package that has one file more: with_ponds("classes", "ponds") -> finished run."""
    package = tmp_path / "copy/semask_cli"
    shutil.copytree(ROOT / "semask_cli", package, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copy(ROOT / "weights.toml", package)
    (package / "datasets/specs/ponds.toml").write_text(PONDS)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "semask_cli", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(package.parent), "COLUMNS": "160", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
        )

    return run


def write_ponds(root):
    """Three images, their labels and predictions that are right but for one pixel."""
    for number in range(3):
        labels = np.indices((12, 16)).sum(axis=0) % 2
        miniature.save(root / f"Ponds/photos/held-out/{number}.jpg", np.zeros((12, 16, 3), np.uint8))
        codes = np.array([20, 10], np.uint8)[labels]
        codes[0, 0] = 0
        miniature.save(root / f"Ponds/masks/held-out/{number}_mask.png", codes)
        predicted = labels.astype(np.uint8)
        predicted[5, 5] = 1 - predicted[5, 5]
        miniature.save(root / f"predicted/{number}.png", predicted)


@pytest.mark.slow
def test_a_new_file_is_a_new_dataset_everywhere(with_ponds, tmp_path):
    write_ponds(tmp_path)
    for command in ("classes", "check", "eval", "predict"):
        assert "ponds" in with_ponds(command, "--help").stdout
    listed = json.loads(with_ponds("classes", "ponds", "--json").stdout)
    assert [row["name"] for row in listed["classes"]] == ["water", "dry land"]
    checked = with_ponds("check", "-d", "ponds", "--root", tmp_path, "--json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["findings"] == []
    masks = ("--pred", tmp_path / "predicted", "--submission", tmp_path / "server.zip")
    evaluated = with_ponds("eval", "-d", "ponds", "--root", tmp_path, *masks, "--json")
    assert evaluated.returncode == 0, evaluated.stderr
    figures = json.loads(evaluated.stdout)
    assert figures["partial"] == ""
    assert 98 < figures["miou"] < 100
    assert figures["cityscapes"]["categories"].keys() == {"wet"}
    assert (tmp_path / "server.zip").exists()


ROW = """
[models.{name}]
family = "fpn"
dataset = "{dataset}"
backbone = "swin-t"
num_classes = {classes}
semantic_classes = {classes}
semantic_window = 7
global_stages = [2, 3]
crop = [512, 512]
stride = [341, 341]
short_side = 512
long_side = 2048
ms_scales = [1.0]
"""


@pytest.mark.slow
def test_pascal_datasets_take_rows_of_a_users_zoo(semask, tmp_path):
    rows = [
        ROW.format(name="my-voc", dataset="pascal-voc2012", classes=21),
        ROW.format(name="my-context", dataset="pascal-context59", classes=59),
    ]
    (tmp_path / "zoo.toml").write_text("\n".join(rows))
    listed = json.loads(semask("models", "--zoo", "zoo.toml", "--dataset", "Pascal_VOC2012", "--json").stdout)
    assert [row["name"] for row in listed["models"]] == ["my-voc"]
    none = semask("models", "swin-t-fpn", "--dataset", "pascal-voc2012", "--zoo", "zoo.toml", check=2)
    assert "is a model for ade20k, not pascal-voc2012" in none.stderr
    assert "my-voc" in none.stderr
    miniature.save(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    no_default = semask("predict", "a.png", "-d", "pascal-voc2012", check=2)
    assert "pascal-voc2012 has no default model" in no_default.stderr


@pytest.mark.parametrize(("name", "layout"), [("pascal-context59", "VOC2010"), ("pascal-voc2012", "VOC2012")])
def test_pascal_datasets_are_known_to_classes_check_and_eval(semask, tmp_path, name, layout):
    root = tmp_path / "root"
    truth = miniature.write(root, name, layout)
    spec = dataset_spec(name)
    assert (SPECS / f"{name}.toml").exists()
    listed = json.loads(semask("classes", name, "--json").stdout)["classes"]
    assert [row["name"] for row in listed] == list(spec.classes)
    checked = json.loads(semask("check", "-d", name, "--root", root, "--json").stdout)
    assert checked["ready"]
    assert [finding["examples"] for finding in checked["findings"]] == [[f"4 of {spec.splits['val']} images"]]
    dataset = find_dataset(name, root=root)
    for sample in dataset.samples:  # as VOC is published, and as predictions are saved: palette PNGs
        labels = read_labels(sample.label, dataset.encoding)
        miniature.save_palette(tmp_path / f"masks/{sample.id}.png", labels, dataset.classes.palette)
        if name == "pascal-voc2012":
            miniature.save_palette(sample.label, truth[sample.id], dataset.classes.palette)
    done = semask("eval", "-d", name, "--root", root, "--pred", tmp_path / "masks", "--json")
    assert json.loads(done.stdout)["miou"] == 100


def test_the_example_in_contributing_is_a_dataset(tmp_path):
    [example] = re.findall(
        r"^```toml\n(title = .*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "roads.toml").write_text(example)
    spec = read_spec(tmp_path / "roads.toml")
    assert list(spec.classes) == ["road", "building", "other ground"]
    assert spec.encodings["reduce-zero"].values == (1, 2, 3)
