"""The runner with a source that says what it was asked for."""

import json
from dataclasses import replace

import pytest

from semask_cli.cli.eval_output import print_evaluation
from semask_cli.datasets import find_dataset
from semask_cli.errors import DatasetError
from semask_cli.evaluation.reading import read_evaluation
from semask_cli.evaluation.report import report_page
from semask_cli.evaluation.runner import Plan, run
from semask_cli.evaluation.selection import select
from tests.support import miniature


class PlantedSource:
    """A source of planted labels, published at 50 %; `asked` are the ids of the images whose labels were asked for."""

    title, definition, published, missing = "planted", "mmseg", 50.0, ()

    def __init__(self, truth):
        self.settings = {"planted": True}
        self.asked = []
        self._truth = truth

    def file_of(self, sample):
        return sample.image

    def labels(self, samples):
        for seed, sample in enumerate(samples):
            self.asked.append(sample.id)
            yield miniature.prediction(self._truth[sample.id], 19, seed)


@pytest.fixture
def planted_street(tmp_path):
    """Six images that are the whole published validation set: (dataset, source)."""
    truth = miniature.write(tmp_path / "root", "cityscapes", "labelIds", count=6)
    dataset = find_dataset("cityscapes", root=tmp_path / "root")
    six = replace(dataset.classes, spec=replace(dataset.spec, splits={"val": 6}))
    return replace(dataset, classes=six), PlantedSource(truth)


@pytest.fixture
def evaluated(planted_street, tmp_path):
    """Run `planted_street` with one journal: evaluated(limit=..., definition=...) -> Evaluation."""
    dataset, source = planted_street

    def evaluate(*, limit=None, definition="mmseg"):
        selection = select(dataset, limit=limit)
        plan = Plan(dataset=dataset, selection=selection, definition=definition, journal=tmp_path / "journal")
        return run(plan, source)

    return evaluate


def test_only_what_the_journal_lacks_is_predicted(planted_street, evaluated):
    dataset, source = planted_street
    first = evaluated(limit=2)
    assert len(source.asked) == first.images == 2
    whole = evaluated()
    assert sorted(source.asked) == [sample.id for sample in dataset.samples]
    assert evaluated() == whole
    assert len(source.asked) == 6


def test_a_source_that_breaks_off_leaves_what_it_gave_in_the_journal(planted_street, evaluated):
    dataset, source = planted_street
    bad = dataset.samples[3]
    label = bad.label.read_bytes()
    bad.label.write_bytes(label[:30])
    with pytest.raises(DatasetError, match=bad.label.name):
        evaluated()
    bad.label.write_bytes(label)
    before = len(source.asked)
    evaluated()
    assert source.asked[before] == bad.id


def test_an_image_that_is_replaced_while_it_is_predicted_is_not_counted(planted_street, evaluated, monkeypatch):
    dataset, source = planted_street
    replaced = dataset.samples[3]

    def labels(samples):
        for sample, predicted in zip(dataset.samples, PlantedSource.labels(source, samples), strict=False):
            if sample == replaced:
                sample.image.write_bytes(dataset.samples[0].image.read_bytes() + b" ")
            yield predicted

    with monkeypatch.context() as patch:
        patch.setattr(source, "labels", labels)
        with pytest.raises(DatasetError, match=f"{replaced.image.name} has changed"):
            evaluated()
    before = len(source.asked)
    evaluated()
    assert source.asked[before] == replaced.id


def test_the_published_figure_stands_beside_a_whole_split_alone(planted_street, evaluated, capsys):
    dataset, source = planted_street
    whole = evaluated()
    assert whole.partial == ""
    assert whole.difference == whole.miou - 50
    print_evaluation(whole)
    assert f"published 50.00, {whole.difference:+.2f}" in capsys.readouterr().out
    page = report_page(whole, dataset, source)
    assert "published 50.00" in page
    assert f"{whole.difference:+.2f}".replace("-", "−") in page
    partial = evaluated(limit=5)
    assert partial.published is None
    assert "published" not in report_page(partial, dataset, source).replace("published figures", "")


def test_an_evaluation_reads_back_as_it_was_written(evaluated, tmp_path):
    evaluation = evaluated(definition="detectron2")
    (tmp_path / "a.json").write_text(json.dumps(evaluation.to_json()))
    assert read_evaluation(tmp_path / "a.json") == evaluation
