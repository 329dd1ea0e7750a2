"""The runner with a source that says what it was asked for."""

import json

import pytest

from semask_cli.cli.eval_output import print_evaluation
from semask_cli.datasets import find_dataset
from semask_cli.errors import DatasetError
from semask_cli.evaluation import selection as selecting
from semask_cli.evaluation.report import report_page
from semask_cli.evaluation.results import read_evaluation
from semask_cli.evaluation.runner import evaluate
from semask_cli.evaluation.selection import select
from tests.support import miniature


class Asked:
    """A source of planted labels, published at 50 %; `images` are those whose labels were asked for."""

    title, definition, published, missing = "planted", "mmseg", 50.0, ()

    def __init__(self, truth):
        self.settings = {"planted": True}
        self.samples = []
        self._truth = truth

    def file_of(self, sample):
        return sample.image

    def labels(self, samples):
        for seed, sample in enumerate(samples):
            self.samples.append(sample.id)
            yield miniature.prediction(self._truth[sample.id], 19, seed)


@pytest.fixture
def planted_street(tmp_path, monkeypatch):
    """Six images that are the whole published validation set: (dataset, source)."""
    monkeypatch.setitem(selecting.PUBLISHED_SIZES, "cityscapes", {"val": 6})
    truth = miniature.write(tmp_path / "root", "cityscapes", "labelIds", count=6)
    return find_dataset("cityscapes", root=tmp_path / "root"), Asked(truth)


def test_only_what_the_journal_lacks_is_predicted(planted_street, tmp_path):
    dataset, source = planted_street
    first = evaluate(dataset, select(dataset, limit=2), source, journal=tmp_path / "journal")
    assert len(source.samples) == first.samples == 2
    whole = evaluate(dataset, select(dataset), source, journal=tmp_path / "journal")
    assert sorted(source.samples) == [sample.id for sample in dataset.samples]
    assert evaluate(dataset, select(dataset), source, journal=tmp_path / "journal") == whole
    assert len(source.samples) == 6


def test_a_source_that_breaks_off_leaves_what_it_gave_in_the_journal(planted_street, tmp_path):
    dataset, source = planted_street
    bad = dataset.samples[3]
    label = bad.label.read_bytes()
    bad.label.write_bytes(label[:30])
    with pytest.raises(DatasetError, match=bad.label.name):
        evaluate(dataset, select(dataset), source, journal=tmp_path / "journal")
    bad.label.write_bytes(label)
    before = len(source.samples)
    evaluate(dataset, select(dataset), source, journal=tmp_path / "journal")
    assert source.samples[before] == bad.id


def test_the_published_figure_stands_beside_a_whole_split_alone(planted_street, tmp_path, capsys):
    dataset, source = planted_street
    whole = evaluate(dataset, select(dataset), source, journal=tmp_path / "journal")
    assert whole.partial == ""
    assert whole.difference == whole.miou - 50
    print_evaluation(whole)
    assert f"published 50.00, {whole.difference:+.2f}" in capsys.readouterr().out
    page = report_page(whole, dataset, source)
    assert "published 50.00" in page
    assert f"{whole.difference:+.2f}".replace("-", "−") in page
    partial = evaluate(dataset, select(dataset, limit=5), source, journal=tmp_path / "journal")
    assert partial.published is None
    assert "published" not in report_page(partial, dataset, source).replace("published figures", "")


def test_an_evaluation_reads_back_as_it_was_written(planted_street, tmp_path):
    dataset, source = planted_street
    evaluation = evaluate(dataset, select(dataset), source, journal=tmp_path / "journal", definition="detectron2")
    (tmp_path / "a.json").write_text(json.dumps(evaluation.to_json()))
    assert read_evaluation(tmp_path / "a.json") == evaluation
