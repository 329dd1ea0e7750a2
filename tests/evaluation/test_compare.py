"""Comparisons: what they say, what they refuse, and on what their intervals rest."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import semask_cli
from semask_cli.datasets import classes, folder_dataset, read_classes
from semask_cli.distributed.shards import Shard
from semask_cli.errors import UsageError
from semask_cli.evaluation.differences import holm
from semask_cli.evaluation.results import document_text
from semask_cli.evaluation.verify import verify
from tests.support import miniature
from toy_street import TEST_SEEDS, write_folders

CLASSES = ("road", "sky", "tree")


class Fields:
    """A dataset of small label maps in `folder`, and masks that are right on a share of their pixels."""

    def __init__(self, folder, images=40):
        self.folder = folder
        (folder / "classes.txt").write_text("\n".join(CLASSES))
        self.truth = {f"{n:03}": miniature.labels(24, 32, 3, seed=n) for n in range(images)}
        for name, labels in self.truth.items():
            miniature.save(folder / "images" / f"{name}.png", labels[..., None].repeat(3, 2))
            miniature.save(folder / "labels" / f"{name}.png", labels)

    def dataset(self):
        class_set = read_classes(self.folder / "classes.txt")
        return folder_dataset(self.folder / "images", self.folder / "labels", class_set)

    def run(self, name, *, right, seed=0, images=None):
        """The file of an evaluation of masks that are `right` on a share of their pixels."""
        masks = self.folder / name
        rng = np.random.default_rng(seed)
        for key, labels in self.truth.items():
            wrong = rng.random(labels.shape) > right * rng.uniform(0.9, 1.1)
            if images is None or key in images:
                predicted = np.where(wrong & (labels != 255), (labels + 1) % 3, labels % 3)
                miniature.save(masks / f"{key}.png", predicted.astype(np.uint8))
        missing = 0 if images is None else len(self.truth) - len(images)
        evaluation = semask_cli.evaluate(self.dataset(), masks, allow_missing=missing)
        path = self.folder / f"{name}.json"
        path.write_text(document_text(evaluation.to_json()))
        return path


@pytest.fixture
def fields(tmp_path):
    return Fields(tmp_path)


def test_a_dataset_is_for_the_page(semask):
    said = semask("compare", "a.json", "b.json", "-d", "ade20k", check=2).stderr
    assert "a comparison without --report takes no --dataset" in said


def test_a_better_run_is_called_better_whichever_stands_first(fields):
    good, bad = fields.run("good", right=0.9), fields.run("bad", right=0.8, seed=1)
    [up] = semask_cli.compare([bad, good]).differences
    [down] = semask_cli.compare([good, bad]).differences
    interval = up.miou.interval
    assert 0 < interval.low < up.miou.value < interval.high
    bounds = f"{up.miou.value:.2f} points of mIoU [{interval.low:.2f}, {interval.high:.2f}]"
    assert up.sentence == down.sentence == f"good is better than bad by {bounds} on these 40 images."
    assert up.miou.other_sign == 0
    assert down.miou.value == -up.miou.value
    assert all(row.significant and row.p < 0.05 for row in up.classes)


def test_pairing_makes_the_interval_narrower_and_equal_runs_do_not_differ(fields):
    """Masks that share their errors but for some: the images' own difficulty is not a difference."""
    first = fields.run("first", right=0.8)
    paired = semask_cli.compare([first, fields.run("second", right=0.81)]).differences[0]
    rest = set(list(fields.truth)[20:])
    half = fields.run("half", right=0.8, images=set(fields.truth) - rest)
    other = fields.run("other", right=0.8, images=rest)
    apart = semask_cli.compare([half, other]).differences[0]
    assert (paired.paired, paired.images, apart.paired, apart.images) == (True, 40, False, 40)
    assert apart.sentence.startswith("No difference is found between other and half from 40 images")
    width = [d.miou.interval.high - d.miou.interval.low for d in (paired, apart)]
    assert width[0] < width[1] / 3
    shutil.copy(first, fields.folder / "again.json")
    same = semask_cli.compare([first, fields.folder / "again.json"]).differences[0]
    assert (same.miou.value, same.miou.interval.low, same.miou.other_sign) == (0, 0, 100)
    assert "No difference is found" in same.sentence
    assert not any(row.significant for row in same.classes)


def test_a_paired_interval_is_that_of_a_direct_bootstrap(fields):
    files = [fields.run("a", right=0.85), fields.run("b", right=0.8, seed=1)]
    difference = semask_cli.compare(files).differences[0].miou
    runs = [json.loads(file.read_text())["picture_results"] for file in files]
    rng = np.random.default_rng(0)
    values = []
    for _ in range(2000):
        drawn = rng.integers(0, 40, 40)
        mious = []
        for run in runs:
            totals = np.zeros((3, 3))
            for image in drawn:
                for index, *counts in run[image]["totals"]:
                    totals[index] += counts
            mious.append(100 * np.mean(totals[:, 0] / (totals[:, 1] + totals[:, 2] - totals[:, 0])))
        values.append(mious[1] - mious[0])
    error = 4 * 0.07 * np.std(values)  # four standard errors of a 2.5 % quantile of 2,000 draws
    assert (difference.interval.low, difference.interval.high) == pytest.approx(
        tuple(np.quantile(values, [0.025, 0.975])), abs=error
    )


def test_more_runs_are_measured_from_the_baseline_that_is_named(fields, semask):
    files = [fields.run(name, right=right) for name, right in (("a", 0.9), ("b", 0.8), ("c", 0.85))]
    comparison = semask_cli.compare(files, baseline=files[1])
    assert comparison.baseline == "b"
    assert [(d.run, d.baseline) for d in comparison.differences] == [("a", "b"), ("c", "b")]
    printed = semask("compare", *files, "--baseline", files[1]).stdout
    for difference in comparison.differences:
        low, high = difference.miou.interval.low, difference.miou.interval.high
        assert f"{difference.miou.value:+.2f} [{low:+.2f}, {high:+.2f}]" in printed
        assert difference.sentence in printed
    assert semask_cli.compare([files[0], *files], baseline=files[1]) == comparison
    with pytest.raises(UsageError, match="is not one of the evaluations"):
        semask_cli.compare(files, baseline=fields.folder / "d.json")


def test_runs_on_other_labels_are_refused_and_what_differs_is_named(fields):
    first = fields.run("first", right=0.9)
    label = fields.folder / "labels/007.png"
    labels = fields.truth["007"].copy()
    labels[0, 0] = (labels[0, 0] % 3 + 1) % 3
    miniature.save(label, labels)
    with pytest.raises(UsageError, match="the labels of 1 images differ between second and first, first 007"):
        semask_cli.compare([first, fields.run("second", right=0.9)])
    miniature.save(label, fields.truth["007"])
    (fields.folder / "classes.txt").write_text("\n".join((CLASSES[0], CLASSES[2], CLASSES[1])))
    with pytest.raises(UsageError, match="class 1 is 'tree' in third, 'sky' in first"):
        semask_cli.compare([first, fields.run("third", right=0.9)])


def test_runs_in_other_definitions_are_compared_in_the_baselines(fields):
    dataset, masks = fields.dataset(), fields.folder / "masks"
    for name, labels in fields.truth.items():
        miniature.save(fields.folder / f"labels/{name}.png", np.where(labels == 2, 255, labels))  # no tree is labelled
        miniature.save(masks / f"{name}.png", np.where(labels == 1, 2, labels))
    for definition in ("mmseg", "detectron2"):
        evaluation = semask_cli.evaluate(dataset, masks, definition=definition)
        (fields.folder / f"{definition}.json").write_text(document_text(evaluation.to_json()))
    files = [fields.folder / "mmseg.json", fields.folder / "detectron2.json"]
    for baseline, tree in ((files[0], 0.0), (files[1], None)):
        comparison = semask_cli.compare(files, baseline=baseline)
        assert comparison.classes[2].figures == (tree, tree)
        assert comparison.mious[0] == comparison.mious[1]


def test_clusters_are_the_baselines_and_a_run_without_images_is_refused(fields):
    first, second = fields.run("first", right=0.9), fields.run("second", right=0.8)
    clustered = json.loads(second.read_text())
    for image in clustered["picture_results"]:
        image["cluster"] = image["id"][:2]  # as another version may have it
    second.write_text(json.dumps(clustered))
    [one], [other] = (semask_cli.compare(runs).differences for runs in ([first, second], [second, first]))
    assert (one.clusters, other.clusters) == (40, 4)
    empty = semask_cli.evaluate(fields.dataset(), fields.folder / "first", shard=Shard(index=0, count=10_000))
    (fields.folder / "empty.json").write_text(document_text(empty.to_json()))
    assert [check.holds for check in verify(fields.folder / "empty.json")] == [True, True, None]
    with pytest.raises(UsageError, match="has no images"):
        semask_cli.compare([first, fields.folder / "empty.json"])


def test_other_image_files_are_a_caution(fields):
    first = fields.run("first", right=0.9)
    miniature.save(fields.folder / "images/003.png", np.zeros((24, 32, 3), np.uint8))
    second = fields.run("second", right=0.9)
    assert semask_cli.compare([first, second]).cautions == ("1 image files of second differ, such as 003.",)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holms_correction(p_values):
    adjusted = holm(p_values)
    count = len(p_values)
    for index, p in enumerate(p_values):
        smaller = sum(other < p for other in p_values)
        assert p <= adjusted[index] <= 1
        assert adjusted[index] >= min(1, p * (count - smaller)) - 1e-12
    assert min(adjusted) == pytest.approx(min(1, min(p_values) * count))


@pytest.mark.slow
def test_the_bundled_mask2former_is_better_than_the_fpn_and_halves_of_a_run_do_not_differ(semask, tmp_path):
    write_folders(tmp_path / "scenes", TEST_SEEDS[20:42], image_format="jpeg")
    halves = [tmp_path / "even", tmp_path / "odd"]
    for number, label in enumerate(sorted((tmp_path / "scenes/labels").iterdir())):
        (halves[number % 2]).mkdir(exist_ok=True)
        shutil.copy(label, halves[number % 2])

    def evaluated(name, labels, source, masks=None):
        dataset = folder_dataset(tmp_path / "scenes/images", labels, classes("cityscapes"))
        evaluation = semask_cli.evaluate(dataset, source, save_pred=masks, allow_missing=len(dataset.unlabelled))
        path = tmp_path / f"{name}.json"
        path.write_text(document_text(replace(evaluation, title=name).to_json()))
        return path

    m2f, fpn = (
        evaluated(name, tmp_path / "scenes/labels", semask_cli.load(name, device="cpu"), tmp_path / "masks")
        for name in ("toy-street-m2f", "toy-street-fpn")
    )
    printed = semask("compare", fpn, m2f).stdout
    assert "toy-street-m2f is better than toy-street-fpn by" in printed
    assert "on these 22 images" in printed
    printed = semask("compare", *(evaluated(half.name, half, tmp_path / "masks") for half in halves)).stdout
    assert "No difference is found between odd and even from 22 images" in printed


def test_two_evaluations_compare_in_one_table_and_one_page(semask, planted, tmp_path, browse):
    root, masks = planted("cityscapes", "labelTrainIds")
    better = tmp_path / "better"
    shutil.copytree(masks, better)
    for file in better.rglob("*.png"):
        label = root / "gtFine/val" / f"{file.parent.name}/{file.stem}_gtFine_labelTrainIds.png"
        shutil.copy(label, file)
    command = ("eval", "-d", "cityscapes", "--root", root, "--pred")
    (tmp_path / "a.json").write_text(semask(*command, masks, "--json").stdout)
    semask(*command, better, "--report", tmp_path / "b")
    runs = (tmp_path / "a.json", tmp_path / "b")
    figures = json.loads(semask("compare", *runs, "--json").stdout)
    assert [run["name"] for run in figures["runs"]] == [masks.name, "better"]
    assert figures["runs"][1]["miou"] == 100
    [difference] = figures["differences"]
    assert difference["miou"]["value"] == pytest.approx(100 - figures["runs"][0]["miou"])
    assert "6 images" not in difference["sentence"]
    assert "3 sequences are too few" in difference["sentence"]
    assert len(figures["classes"]) == 19
    assert figures["pictures"][0]["spread"] >= figures["pictures"][-1]["spread"] > 0
    table = semask("compare", *runs, "--report", tmp_path / "page").stdout
    assert "traffic light" in table
    assert f"+{difference['miou']['value']:.2f}" in table
    dom = browse(tmp_path / "page/comparison.html", "--dump-dom")
    assert "better" in dom
    assert difference["sentence"] in dom


def test_what_does_not_compare_is_refused(semask, planted, tmp_path):
    files = []
    for name, layout in (("cityscapes", "labelTrainIds"), ("ade20k", "annotations")):
        root, masks = planted(name, layout, 2)
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(semask("eval", "-d", name, "--root", root, "--pred", masks, "--json").stdout)
    (tmp_path / "list.json").write_text("[]")
    for arguments, words in (
        (files, "Compare evaluations of the same split"),
        (files[:1], "two evaluations or more"),
        ([files[0], tmp_path / "list.json"], "is not the JSON of an evaluation"),
        ([files[0], tmp_path / "gone.json"], "cannot read"),
    ):
        done = semask("compare", *arguments, check=2)
        assert words in done.stderr
