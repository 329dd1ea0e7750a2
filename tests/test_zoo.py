"""weights.toml, row by row, and how rows are found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from semask_cli.datasets.spec import dataset_names
from semask_cli.errors import UnknownModelError, UsageError, ZooError
from semask_cli.zoo import load_zoo, user_zoo_path
from tests.support.figures import manifest

# The authors' results page: mIoU and mIoU with ms+flip of the first table, by dataset.
PUBLISHED = {
    "swin-t-fpn": (42.11, 43.16),
    "swin-s-fpn": (45.92, 47.63),
    "swin-b-fpn": (49.35, 50.98),
    "swin-l-fpn": (51.89, 53.52),
    "swin-l-mf": (54.75, 56.15),
    "swin-l-m2f": (56.41, 57.52),
    "swin-l-m2f-fapn": (56.68, 58.00),
    "swin-l-m2f-msfapn": (56.54, 58.22),
    "swin-t-fpn-cityscapes": (74.92, 76.56),
    "swin-s-fpn-cityscapes": (77.13, 79.14),
    "swin-b-fpn-cityscapes": (77.70, 79.73),
    "swin-l-fpn-cityscapes": (78.53, 80.39),
    "swin-l-m2f-cityscapes": (83.97, 84.98),
    "swin-t-fpn-coco-stuff10k": (37.53, 38.88),
    "swin-s-fpn-coco-stuff10k": (40.72, 42.27),
    "swin-b-fpn-coco-stuff10k": (44.63, 46.30),
    "swin-l-fpn-coco-stuff10k": (47.47, 48.54),
}

OWN_ROW = """
[backbones.mini]
embed_dim = 32
depths = [1, 1, 1, 1]
heads = [1, 2, 4, 8]
window = 7

[models.mine]
family = "fpn"
dataset = "cityscapes"
backbone = "{backbone}"
num_classes = 19
semantic_classes = 19
semantic_window = 7
global_stages = []
crop = [256, 256]
stride = [170, 170]
short_side = 256
long_side = 512
ms_scales = [1.0]
{extra}
"""


def published_rows() -> list[str]:
    return [name for name, spec in load_zoo().models.items() if any(file.drive_id for file in spec.checkpoints)]


def test_every_published_row_is_there_with_its_figures() -> None:
    zoo = load_zoo()
    assert {name: (zoo.models[name].miou, zoo.models[name].miou_ms_flip) for name in published_rows()} == PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_row_is_consistent(name: str) -> None:
    spec = load_zoo().models[name]
    assert spec.dataset in dataset_names()
    assert spec.num_classes == {"ade20k": 150, "cityscapes": 19, "coco-stuff10k": 171}[spec.dataset]
    assert spec.params_m == pytest.approx(manifest(name)["params"] / 1e6, abs=1.0)
    assert spec.short_side <= spec.long_side
    assert 1.0 in spec.ms_scales
    assert spec.licence == "Apache-2.0"
    assert spec.source.startswith("https://")
    assert all(file.drive_id and not file.sha256 for file in spec.checkpoints)


def test_files_that_came_later_have_their_own_figures() -> None:
    zoo = load_zoo()
    later = zoo.find("swin-l-m2f-msfapn@later")
    assert later.checkpoint is not None
    assert (later.checkpoint.drive_id, later.published_miou) == ("1DQ9KltSLDj47H2jYnCtVwyBf7KPR9SM_", 57.00)
    first = zoo.find("swin-l-m2f-msfapn")
    assert first.checkpoint is not None
    assert (first.checkpoint.drive_id, first.published_miou) == ("1w-DRGufIv3zpDO7rJFv2z5WeLx0pDTJe", 56.54)
    # Only a later file of this row exists: its name selects that, and the row keeps the figure of the first table.
    only = zoo.find("swin-l-m2f-fapn")
    assert (only.miou, only.published_miou) == (56.68, 56.88)


def test_names_and_datasets() -> None:
    zoo = load_zoo()
    assert zoo.find("swin-t-fpn", dataset="Cityscapes").name == "swin-t-fpn-cityscapes"
    assert zoo.find("swin-t-fpn-cityscapes", dataset="cityscapes").name == "swin-t-fpn-cityscapes"
    assert zoo.find("swin-t-fpn", dataset="COCO_Stuff10k").name == "swin-t-fpn-coco-stuff10k"
    assert zoo.find().name == "swin-l-m2f"
    assert zoo.find(dataset="cityscapes").name == "swin-l-m2f-cityscapes"
    assert zoo.find(dataset="coco-stuff10k").name == "swin-l-fpn-coco-stuff10k"
    with pytest.raises(UsageError, match="not ade20k"):
        zoo.find("swin-t-fpn-cityscapes", dataset="ade20k")
    with pytest.raises(UsageError, match="no dataset"):
        zoo.find(dataset="voc")


@pytest.mark.parametrize(
    ("wrong", "suggested"),
    [
        ("", "semask models"),
        ("swin-t-fnp", "swin-t-fpn"),
        ("swin-l-maskformer", "swin-l-m"),
        ("swin-l-m2f-fapm", "swin-l-m2f-fapn"),
    ],
)
def test_an_unknown_name_gets_a_suggestion(wrong: str, suggested: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        load_zoo().find(wrong)
    assert suggested in caught.value.suggestion


def test_an_unknown_label_lists_the_labels() -> None:
    with pytest.raises(UnknownModelError) as caught:
        load_zoo().find("swin-t-fpn@first")
    assert "swin-t-fpn@later" in caught.value.suggestion


def test_rows_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.toml"
    text = OWN_ROW.format(backbone="mini", extra='[[models.mine.checkpoints]]\nlabel = "a"\npath = "w.pth"')
    file.write_text(f"\ufeff{text}")  # as Windows' editors begin files
    spec = load_zoo(file).find("mine")
    assert spec.checkpoint is not None
    assert spec.checkpoint.path == tmp_path / "w.pth"
    assert load_zoo(file).find("swin-t-fpn") == load_zoo().find("swin-t-fpn")
    monkeypatch.setenv("SEMASK_ZOO", str(file))
    assert "mine" in load_zoo().models
    monkeypatch.delenv("SEMASK_ZOO")
    user_zoo_path().parent.mkdir(parents=True)
    user_zoo_path().write_text(OWN_ROW.format(backbone="swin-t", extra=""))
    assert load_zoo().find("mine").backbone.embed_dim == 96


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models = [", "not valid TOML"),
        (OWN_ROW.format(backbone="mini", extra="").replace('family = "fpn"\n', ""), "family"),
        (OWN_ROW.format(backbone="mini", extra="colour = 3"), "colour"),
        (OWN_ROW.format(backbone="mini", extra="").replace("fpn", "unet"), "unet"),
        (OWN_ROW.format(backbone="swin-x", extra=""), "swin-x"),
    ],
)
def test_a_broken_zoo_file_is_refused_with_its_reason(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(ZooError, match=said):
        load_zoo(file)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("global_stages = [2, 4]", r"global_stages \[2, 4\] is not a list of stages, 0 to 3"),
        ('global_stages = ["3"]', "global_stages"),
        ("semantic_window = 0", "semantic_window 0 is not a whole number from 1 on"),
        ('short_side = "256"', "short_side '256'"),
        ("crop = 256", "crop 256 is not two whole numbers"),
        ("ms_scales = []", "ms_scales"),
        ("heads = [1, 2, 3, 8]", "heads 3 do not divide the 128 channels of stage 2"),
        ("depths = [1, 1, 1]", r"depths \[1, 1, 1\]"),
        ("size_divisor = 32", "size_divisor 32 is not 1"),
        ('preprocessing = "detectron2"', "the key 'ms_long_side' is missing"),
        ("head = { chanels = 64 }", "head has an unknown key 'chanels': a semantic-fpn has channels"),
        ("head = { channels = 0 }", "channels 0 of the head"),
        ('miou = "45"', "miou '45' is not a percentage"),
        ("miou_ms_flip = nan", "miou_ms_flip nan"),
        ("params_m = [35]", r"params_m \[35\] is not millions of parameters"),
        ("params_m = 1e308", "params_m"),
        ("licence = 2", "licence 2 is not a text"),
        ('checkpoints = [{ label = "a", miou = "45" }]', "miou '45' is not a percentage"),
        ("[defaults]\nade20k = 3", "defaults of .*: 3 is not the name of a model"),
    ],
)
def test_a_value_that_would_run_and_cost_accuracy_is_refused(tmp_path: Path, changed: str, said: str) -> None:
    key = changed.partition(" ")[0]
    lines = OWN_ROW.format(backbone="mini", extra="").splitlines()
    kept = [changed if line.startswith(f"{key} ") else line for line in lines]
    file = tmp_path / "own.toml"
    file.write_text("\n".join(kept if changed in kept else [*lines, changed]))
    with pytest.raises(ZooError, match=said):
        load_zoo(file)


def test_a_missing_zoo_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"none\.toml"):
        load_zoo(tmp_path / "none.toml")


CHECKPOINT = '[[models.mine.checkpoints]]\nlabel = "{label}"\ndrive_id = "{drive_id}"\nsha256 = "{sha256}"'


@pytest.mark.parametrize(
    "name", ["../../evil", "/abs/evil", "..", ".hidden", "a/b", "a\\\\b", "", "a b", "a@b", "n" * 81]
)
def test_defect_12_the_name_of_a_row_cannot_leave_the_cache(name: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN_ROW.format(backbone="mini", extra="").replace("[models.mine]", f'[models."{name}"]'))
    with pytest.raises(ZooError) as caught:
        load_zoo(file)
    assert repr(name.replace("\\\\", "\\")) in caught.value.message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("label", "../../evil"),
        ("label", "/abs"),
        ("label", ""),
        ("drive_id", "x/../y"),
        ("drive_id", "x&confirm=t"),
        ("sha256", "abc"),
        ("sha256", "g" * 64),
    ],
)
def test_defect_12_what_names_a_file_has_its_form(key: str, value: str, tmp_path: Path) -> None:
    fields = {"label": "a", "drive_id": "", "sha256": "", key: value}
    file = tmp_path / "own.toml"
    file.write_text(OWN_ROW.format(backbone="mini", extra=CHECKPOINT.format(**fields)))
    with pytest.raises(ZooError) as caught:
        load_zoo(file)
    assert f"{key} {value!r}" in caught.value.message


@pytest.mark.parametrize("text", ["models = 3", "backbones = 3", "families = 3", "defaults = 3", "x = " + "[" * 50_000])
def test_defect_30_a_zoo_file_of_another_form(text: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(ZooError, match=r"own\.toml"):
        load_zoo(file)


def test_a_zoo_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "zoo.toml")
    with pytest.raises(ZooError, match="a pipe or a device"):
        load_zoo(tmp_path / "zoo.toml")
