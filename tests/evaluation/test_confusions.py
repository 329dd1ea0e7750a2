"""The confusion matrix in the orders in which it is looked at, and results as plots and tables."""

import sys

import numpy as np
import pytest

import semask_cli
from semask_cli.errors import UsageError
from semask_cli.evaluation.confusions import class_order, shares


@pytest.fixture
def evaluation(planted):
    root, masks = planted("cityscapes", "labelTrainIds", 3)
    return semask_cli.evaluate("cityscapes", masks, root=root)


def test_classes_that_are_confused_stand_side_by_side():
    """Two groups of classes, confused within themselves only, whose indices alternate."""
    confusion = np.zeros((6, 7), np.int64)
    for row in range(6):
        confusion[row, row] = 100
        confusion[row, (row + 2) % 6] = confusion[row, (row + 4) % 6] = 40
    order = class_order(confusion, "similarity")
    assert sorted(order) == list(range(6))
    assert {index % 2 for index in order[:3]} != {0, 1}
    assert class_order(confusion[:2, [0, 1, 6]], "similarity") == [0, 1]


def test_the_most_frequent_class_stands_first():
    confusion = np.array([[1, 0, 0], [5, 5, 0]], np.int64)
    assert (class_order(confusion, "frequency"), class_order(confusion, "index")) == ([1, 0], [0, 1])


def test_shares_are_of_the_labels_pixels():
    assert shares(np.array([[3, 1, 0], [0, 0, 0]], np.int64)).tolist() == [[0.75, 0.25, 0], [0, 0, 0]]


def test_the_largest_confusions_come_first(evaluation):
    found = evaluation.confusions(5)
    assert len(found) == 5
    assert [each.pixels for each in found] == sorted((each.pixels for each in found), reverse=True)
    matrix = np.array(evaluation.confusion)
    np.fill_diagonal(matrix, 0)
    assert found[0].pixels == matrix.max()


def test_the_confusion_matrix_is_a_table(evaluation):
    header, *rows = (line.split(",") for line in evaluation.confusion_csv().splitlines())
    assert header[1:] == [*(row[0] for row in rows), "no class"]
    assert [[int(cell) for cell in row[1:]] for row in rows] == [list(row) for row in evaluation.confusion]


def test_the_plot_shows_every_class(evaluation, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    axes = evaluation.plot_confusion()
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == sorted(result.name for result in evaluation.classes)
    drawn = axes.get_images()[0].get_array()
    expected = shares(np.array(evaluation.confusion))
    index = [result.name for result in evaluation.classes].index(names[3])
    assert drawn[3, 3] == expected[index, index]


def test_tables_have_a_row_for_each_class_and_image(evaluation):
    table = evaluation.to_pandas()
    assert table.loc["road", "iou"] == evaluation.classes[0].iou
    assert table["label_pixels"].sum() == np.sum(evaluation.confusion)
    images = evaluation.to_pandas("images")
    assert images.loc[evaluation.image_results[1].id, "miou"] == evaluation.image_results[1].miou


def test_a_library_that_is_missing_is_named(evaluation, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pandas, which is not installed") as error:
        evaluation.to_pandas()
    assert "semask[analysis]" in error.value.suggestion
