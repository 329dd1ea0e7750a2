"""`semask_cli.evaluate`, `check` and `compare` from Python give what the commands print."""

import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

import semask_cli
from semask_cli.datasets import find_dataset
from semask_cli.errors import DatasetError, OutputError, UsageError
from semask_cli.evaluation.reading import read_evaluation
from tests.support import miniature
from tests.support.command_line import measured


class Recorder:
    """A progress that keeps what it is told."""

    def __init__(self):
        self.plans, self.resumed_ids, self.counted_ids, self.remaining = [], [], [], []

    def started(self, plan):
        self.plans.append(plan)

    def resumed(self, records, remaining):
        self.resumed_ids += [record.id for record in records]
        self.remaining.append(remaining)

    def counted(self, record, remaining):
        self.counted_ids.append(record.id)
        self.remaining.append(remaining)


def test_a_folder_of_masks_is_evaluated_as_the_command_does(semask, planted):
    root, masks = planted("cityscapes", "labelTrainIds")
    printed = measured(semask("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--json").stdout)
    by_name = semask_cli.evaluate("cityscapes", masks, root=root)
    assert measured(json.dumps(by_name.to_json())) == printed
    assert semask_cli.evaluate(find_dataset("cityscapes", root=root), str(masks)) == by_name


def test_a_segmenter_is_evaluated_and_writes_what_was_asked_for(planted, tmp_path):
    root, _ = planted("cityscapes", "labelIds", 2)
    segmenter = semask_cli.load("toy-street-fpn", device="cpu")
    evaluation = semask_cli.evaluate(
        "cityscapes",
        segmenter,
        root=root,
        save_pred=tmp_path / "masks",
        submission=tmp_path / "server.zip",
        report=tmp_path / "report",
    )
    assert (evaluation.title, evaluation.images, evaluation.definition) == ("toy-street-fpn", 2, "mmseg")
    assert semask_cli.evaluate("cityscapes", tmp_path / "masks", root=root).classes == evaluation.classes
    assert read_evaluation(tmp_path / "report/evaluation.json") == evaluation
    assert len(zipfile.ZipFile(tmp_path / "server.zip").namelist()) == 2


def test_an_evaluation_is_resumed_and_tells_how_it_goes_on(planted, tmp_path):
    root, masks = planted("ade20k", "annotations")
    settings = {"root": root, "journal": tmp_path / "journal"}
    first, second, again = Recorder(), Recorder(), Recorder()
    semask_cli.evaluate("ade20k", masks, **settings, limit=2, progress=first)
    whole = semask_cli.evaluate("ade20k", masks, **settings, progress=second)
    assert semask_cli.evaluate("ade20k", masks, **settings, fresh=True, progress=again) == whole
    assert (first.resumed_ids, first.remaining) == ([], [2, 1, 0])
    assert sorted(second.resumed_ids) == first.counted_ids
    assert len(second.counted_ids) == 4
    assert len(again.counted_ids) == 6
    [plan] = second.plans
    assert (len(plan.selection.samples), plan.definition, plan.journal) == (6, "mmseg", tmp_path / "journal")


def test_what_cannot_be_evaluated_is_refused_before_the_work(planted, tmp_path):
    root, masks = planted("coco-stuff10k", "mmseg", 2)
    with pytest.raises(UsageError, match="a limit of -1 images"):
        semask_cli.evaluate("coco-stuff10k", masks, root=root, limit=-1)
    with pytest.raises(UsageError, match="merging journals runs nothing"):
        semask_cli.evaluate("coco-stuff10k", masks, root=root, merge=["jobs"], journal="journal")
    with pytest.raises(UsageError, match="there is no definition of mIoU 'voc'"):
        semask_cli.evaluate("coco-stuff10k", masks, root=root, definition="voc")
    with pytest.raises(UsageError, match="no label coding 'labelIds'"):
        semask_cli.evaluate("coco-stuff10k", masks, root=root, mask_encoding="labelIds")
    for arguments, said in (
        ({"limit": "2"}, "a limit of '2' images"),
        ({"merge": "jobs"}, "merge takes several journals, not only jobs"),
        ({"report": "s3://bucket/report"}, "report takes a path on this machine, not s3://bucket/report"),
        ({"journal": "s3://bucket/journal"}, "journal takes a path on this machine"),
    ):
        with pytest.raises(UsageError, match=said):
            semask_cli.evaluate("coco-stuff10k", masks, root=root, **arguments)
    with pytest.raises(UsageError, match="from a Segmenter or a folder of masks, not int"):
        semask_cli.evaluate("coco-stuff10k", 5, root=root)
    with pytest.raises(UsageError, match="a mask encoding is for a folder of masks"):
        semask_cli.evaluate("coco-stuff10k", SimpleNamespace(spec=None), root=root, mask_encoding="mmseg")
    with pytest.raises(UsageError, match="a shuffle seed draws"):
        semask_cli.evaluate("coco-stuff10k", masks, root=root, shuffle_seed=1)
    with pytest.raises(UsageError, match="no benchmark server"):
        semask_cli.evaluate("coco-stuff10k", masks, root=root, submission=tmp_path / "out.zip")
    with pytest.raises(UsageError, match="toy-street-fpn knows 19 classes, coco-stuff10k has 171"):
        semask_cli.evaluate("coco-stuff10k", semask_cli.load("toy-street-fpn", device="cpu"), root=root)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file is a file, but results need a folder"):
        semask_cli.evaluate("coco-stuff10k", masks, root=root, journal=tmp_path / "file")
    label = find_dataset("coco-stuff10k", root=root).samples[0].label
    miniature.save(label, np.full((3, 3), 1, np.uint8))
    with pytest.raises(DatasetError, match="1 size"):
        semask_cli.evaluate("coco-stuff10k", masks, root=root)


def test_check_and_compare_are_functions_too(planted, tmp_path):
    root, masks = planted("cityscapes", "labelTrainIds", 3)
    assert not semask_cli.check("cityscapes", root=root).fatal()
    for definition in ("mmseg", "detectron2"):
        semask_cli.evaluate("cityscapes", masks, root=root, definition=definition, report=tmp_path / definition)
    comparison = semask_cli.compare([tmp_path / "mmseg", str(tmp_path / "detectron2")])
    assert comparison.definition == "mmseg"
    assert [difference.miou.value for difference in comparison.differences] == [0]
    assert "different definitions" in comparison.cautions[-1]
    with pytest.raises(UsageError, match="two evaluations or more"):
        semask_cli.compare([tmp_path / "mmseg"])
    with pytest.raises(UsageError, match="compare takes several evaluations, not only one"):
        semask_cli.compare("one.json")
