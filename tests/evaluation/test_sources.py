"""A model as the source of predictions, through the real command line; and which published figure is whose."""

import json
from types import SimpleNamespace

import pytest

from semask_cli.evaluation.sources import ModelSource
from semask_cli.inference.config import InferenceConfig
from semask_cli.zoo import load_zoo
from tests.support.command_line import measured


def source(name, *, own_checkpoint=False, **options):
    spec = load_zoo().find(name)
    config = InferenceConfig(crop=spec.crop, stride=spec.stride, **options)
    settings = {"mode": config.mode, "scales": config.scales, "flip": config.flip, "own_checkpoint": own_checkpoint}
    segmenter = SimpleNamespace(spec=spec, settings=settings)
    return ModelSource(spec, lambda: segmenter)


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("swin-t-fpn", "mmseg"),
        ("swin-s-fpn-cityscapes", "mmseg"),
        ("swin-l-mf", "detectron2"),
        ("swin-l-m2f", "detectron2"),
        ("swin-l-m2f-cityscapes", "cityscapes"),
    ],
)
def test_each_row_is_measured_in_the_definition_it_was_published_in(name, definition):
    assert source(name).definition == definition


def test_the_published_figure_belongs_to_its_own_protocol_alone():
    spec = load_zoo().find("swin-s-fpn")
    assert source("swin-s-fpn").published == spec.miou == 45.92
    assert source("swin-s-fpn", scales=spec.ms_scales, flip=True).published == spec.miou_ms_flip == 47.63
    for other in (
        {"flip": True},
        {"scales": (1.0, 1.5)},
        {"scales": "native"},
        {"mode": "slide"},
        {"own_checkpoint": True},
    ):
        assert source("swin-s-fpn", **other).published is None


def test_a_model_is_loaded_when_its_first_prediction_is_asked_for_and_once():
    loads = []
    spec = load_zoo().find("swin-t-fpn-cityscapes")
    model = ModelSource(spec, lambda: loads.append(spec) or SimpleNamespace(spec=spec))
    assert model.title == spec.name
    assert not loads
    assert model.definition == model.definition
    assert loads == [spec]


@pytest.fixture
def model(checkpoint_of):
    name = "swin-t-fpn-cityscapes"
    return ("--model", name, "--checkpoint", checkpoint_of(name), "--scales", "native", "--device", "cpu")


@pytest.mark.slow
def test_a_model_is_evaluated_and_the_masks_it_saves_score_the_same(semask, planted, tmp_path, model):
    root, _ = planted("cityscapes", "labelIds", 3)
    command = ("eval", "--root", root, "--json")
    first = json.loads(
        semask(*command, *model, "--save-pred", tmp_path / "masks", "--report", tmp_path / "page").stdout
    )
    assert (first["dataset"], first["definition"], first["pictures"]) == ("cityscapes", "mmseg", 3)
    assert first["settings"]["model"] == "swin-t-fpn-cityscapes"
    assert len(first["settings"]["checkpoint"]) == 64
    assert first["settings"]["own_checkpoint"] is True
    assert first["published"] is None  # three images are not the validation set
    again = json.loads(semask(*command, "-d", "cityscapes", "--pred", tmp_path / "masks").stdout)
    assert again["classes"] == first["classes"]
    assert again["cityscapes"] == first["cityscapes"]
    assert "swin-t-fpn-cityscapes" in (tmp_path / "page/report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_image_that_cannot_be_read_stops_the_run_after_what_was_done_is_noted(semask, planted, tmp_path, model):
    root, _ = planted("cityscapes", "labelIds", 3)
    last = max(root.rglob("*_leftImg8bit.png"))
    whole = last.read_bytes()
    last.write_bytes(whole[:-40])
    journal = tmp_path / "journal"
    stopped = semask("eval", "--root", root, *model, "--journal", journal, check=3)
    assert last.name in stopped.stderr
    noted = (journal / "rank-0.jsonl").read_text().count('"id"')
    assert noted >= 1
    last.write_bytes(whole)
    resumed = semask("eval", "--root", root, *model, "--journal", journal, "--json").stdout
    again = semask("eval", "--root", root, *model, "--journal", journal, "--json", "--fresh").stdout
    assert measured(resumed) == measured(again)
