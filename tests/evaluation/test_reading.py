"""Evaluations that are read back: damaged ones are refused, and nothing in them gets into a page unseen."""

import csv
import json
from dataclasses import replace

import pytest

import semask_cli
from semask_cli.datasets import folder_dataset, read_classes
from semask_cli.errors import UsageError
from semask_cli.evaluation.reading import read_evaluation
from tests.support import miniature


@pytest.fixture
def evaluation(planted):
    root, masks = planted("cityscapes", "labelTrainIds", 2)
    return semask_cli.evaluate("cityscapes", masks, root=root)


def delete(*keys):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return change


def put(value, *keys):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        delete("miou"),
        delete("classes", 0, "iou"),
        put("url(http://example.com)", "classes", 0, "colour"),
        put("#12345", "classes", 3, "colour"),
        put(3, "classes"),
        put(None, "classes", 2),
        put("50", "miou"),
        put(10**400, "miou"),
        put(101, "macc"),
        put(-1, "classes", 0, "label_pixels"),
        put(1.5, "classes", 0, "label_pixels"),
        put(True, "pictures"),
        put([], "miou_by_definition"),
        put({"mmseg": 1.0}, "miou_by_definition"),
        put("voc", "definition"),
        put([[[]]], "settings", "scales"),
        put({"a": {"b": 1}}, "settings", "versions"),
        put("ade20k", "settings", "dataset"),
        delete("settings", "split"),
        put(3, "settings", "masks"),
        lambda document: document["picture_results"].append(document["picture_results"][0]),
        put(1, "more"),
        put([{"id": 3, "miou": 1.0, "aacc": 1.0}], "picture_results"),
        put({"category_iou": 1}, "cityscapes"),
        put(1, "schema_version"),
    ],
)
def test_a_document_of_another_shape_is_no_evaluation(evaluation, tmp_path, change):
    document = json.loads(json.dumps(evaluation.to_json()))
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(document))
    assert read_evaluation(path) == evaluation
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"evaluation\.json is not the JSON of an evaluation"):
        read_evaluation(path)


@pytest.mark.parametrize(
    "text",
    [b"", b"3", b"[]", b"null", b'"x"', b"NaN", b'{"schema_version": NaN}', b"[" * 100_000, b"\xff", b"9" * 9999],
)
def test_what_is_no_document_is_no_evaluation(tmp_path, text):
    path = tmp_path / "evaluation.json"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=r"evaluation\.json is not the JSON of an evaluation"):
        read_evaluation(path)


def test_shells_of_windows_write_documents_in_utf_16(evaluation, tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(evaluation.to_json()), encoding="utf-16")
    assert read_evaluation(path).to_json() == evaluation.to_json()


def test_what_cannot_be_opened_is_named(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path / ("x" * 300)):
        with pytest.raises(UsageError, match="cannot read"):
            semask_cli.compare([path, tmp_path])


def test_figures_that_are_not_numbers_are_refused(evaluation, tmp_path):
    text = json.dumps(evaluation.to_json()).replace(f'"miou": {evaluation.miou!r}', '"miou": NaN', 1)
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(UsageError):
        read_evaluation(tmp_path / "evaluation.json")


def test_class_names_are_no_formulas_in_csv(evaluation):
    names = ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=1", "road, wet"]
    renamed = [replace(result, name=name) for result, name in zip(evaluation.classes, names, strict=False)]
    rows = list(csv.DictReader(replace(evaluation, classes=tuple(renamed)).to_csv().splitlines()))
    assert [row["name"] for row in rows] == ["'=1+1", "'+cmd", "'-2", "'@SUM(A1)", "'\t=1", "road, wet"]


def test_names_that_are_no_utf_8_are_written_to_reports(tmp_path):
    truth = miniature.labels(6, 8, 2, seed=0)
    for kind, values in (("images", truth[..., None].repeat(3, 2)), ("labels", truth), ("masks", truth)):
        miniature.save(tmp_path / kind / "caf\udce9.png", values)
    (tmp_path / "classes.txt").write_text("road\nsky\n")
    dataset = folder_dataset(tmp_path / "images", tmp_path / "labels", read_classes(tmp_path / "classes.txt"))
    evaluation = semask_cli.evaluate(dataset, tmp_path / "masks", report=tmp_path / "report")
    assert [result.id for result in evaluation.image_results] == ["caf\udce9"]
    assert read_evaluation(tmp_path / "report/evaluation.json") == evaluation
    assert r"caf\udce9" in (tmp_path / "report/report.html").read_text(encoding="utf-8")
