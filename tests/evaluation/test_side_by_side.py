"""Images side by side: what the page shows of runs that kept their masks, and what it refuses to show."""

import numpy as np
import pytest

import semask_cli
from semask_cli.errors import UsageError
from semask_cli.evaluation.compare import write_comparison
from semask_cli.evaluation.side_by_side import RIGHT, who_is_right
from tests.support import miniature


def test_a_map_says_who_alone_is_right():
    image = np.full((1, 5, 3), 100, np.uint8)
    labels = np.array([[1, 1, 1, 1, 255]], np.uint8)
    first, second = np.array([[1, 1, 0, 0, 1]], np.uint8), np.array([[1, 0, 1, 0, 1]], np.uint8)
    both, one, other, neither, ignored = who_is_right(image, labels, first, second)[0].astype(int)
    assert both.tolist() == [50, 50, 50]
    for found, name in ((one, "first"), (other, "second"), (neither, "none")):
        np.testing.assert_allclose(found, 20 + 0.8 * np.array(RIGHT[name]), atol=1)
    assert ignored.min() > 150


@pytest.fixture
def two_runs(semask, planted, tmp_path):
    """Two evaluations of masks, and the options that name their dataset."""
    root, masks = planted("cityscapes", "labelTrainIds", 6)
    better = tmp_path / "better"
    for seed, file in enumerate(sorted(masks.rglob("*.png"))):
        target = better / file.relative_to(masks)
        wrong = miniature.labels(*np.asarray(miniature.Image.open(file)).shape, 19, seed=seed)
        miniature.save(target, np.where(wrong == 255, 0, wrong))
    for name in (masks, better):
        (tmp_path / f"{name.name}.json").write_text(
            semask("eval", "-d", "cityscapes", "--root", root, "--pred", name, "--json").stdout
        )
    return (tmp_path / f"{masks.name}.json", tmp_path / "better.json"), ("-d", "cityscapes", "--root", root)


def test_the_page_shows_the_images_that_differ_most(semask, two_runs, tmp_path, browse):
    files, options = two_runs
    semask("compare", *files, *options, "--report", tmp_path / "page")
    use = """<script>addEventListener("load", () => {
      document.querySelector(".strip button").click();
      for (let n = 0; n < 9; n++) viewer.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    })</script></body>"""
    page = tmp_path / "page/comparison.html"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", use), encoding="utf-8")
    comparison = semask_cli.compare(files)
    dom = browse(page, "--dump-dom")
    first, second = comparison.names
    assert f"<span>{comparison.images[0].name}: {first} or {second} right</span>" in dom
    assert dom.count("<figure>") == 6


def test_masks_that_are_gone_or_others_are_not_shown(semask, two_runs, tmp_path):
    files, options = two_runs
    dataset = semask_cli.datasets.find_dataset("cityscapes", root=options[-1])
    comparison = semask_cli.compare(files)
    mask = tmp_path / "better" / f"{comparison.images[0].name}.png"
    original = mask.read_bytes()
    miniature.save(mask, np.zeros((48, 64), np.uint8))
    with pytest.raises(UsageError, match="is not the one that better was evaluated with"):
        write_comparison(tmp_path / "page", comparison, dataset)
    mask.unlink()
    with pytest.raises(UsageError, match="has no mask of"):
        write_comparison(tmp_path / "page", comparison, dataset)
    mask.write_bytes(original)
    (tmp_path / "better").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="the masks of better are missing"):
        write_comparison(tmp_path / "page", comparison, dataset)
    assert not (tmp_path / "page").exists()


def test_labels_that_are_gone_or_others_are_not_shown(two_runs, tmp_path):
    files, options = two_runs
    dataset = semask_cli.datasets.find_dataset("cityscapes", root=options[-1])
    comparison = semask_cli.compare(files)
    shown = {row.name for row in comparison.images}
    label = next(sample.label for sample in dataset.samples if sample.id in shown)
    miniature.save(label, np.zeros((48, 64), np.uint8))
    with pytest.raises(UsageError, match=r"not the one that .* was counted on"):
        write_comparison(tmp_path / "page", comparison, dataset)
    label.unlink()
    dataset = semask_cli.datasets.find_dataset("cityscapes", root=options[-1])
    with pytest.raises(UsageError, match="is missing"):
        write_comparison(tmp_path / "page", comparison, dataset)


def test_images_that_were_only_predicted_are_not_shown(semask, tmp_path, planted):
    root, masks = planted("ade20k", "annotations", 3)
    min((root / "annotations/validation").iterdir()).unlink()
    command = ("eval", "-d", "ade20k", "--root", root, "--pred", masks, "--submission", tmp_path / "out.zip")
    for definition in ("mmseg", "detectron2"):
        done = semask(*command, "--definition", definition, "--report", tmp_path / definition)
        assert "partial: images without a label: 1" in done.stdout
    semask("compare", tmp_path / "mmseg", tmp_path / "detectron2", "-d", "ade20k", "--root", root, "--report", tmp_path)
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 2


def test_a_model_that_saved_its_predictions_can_be_shown(tmp_path):
    truth = miniature.labels(24, 32, 19, seed=0)
    miniature.save(tmp_path / "images/a.png", truth[..., None].repeat(3, 2))
    miniature.save(tmp_path / "labels/a.png", truth)
    classes = semask_cli.datasets.classes("cityscapes")
    dataset = semask_cli.datasets.folder_dataset(tmp_path / "images", tmp_path / "labels", classes)
    for name in ("toy-street-fpn", "toy-street-m2f"):
        segmenter = semask_cli.load(name, device="cpu")
        semask_cli.evaluate(dataset, segmenter, save_pred=tmp_path / f"masks-{name}", report=tmp_path / name)
    comparison = semask_cli.compare([tmp_path / "toy-street-fpn", tmp_path / "toy-street-m2f"])
    page = write_comparison(tmp_path / "page", comparison, dataset).read_text(encoding="utf-8")
    assert "toy-street-fpn or toy-street-m2f right" in page
