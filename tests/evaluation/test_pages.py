"""The report, in a real browser from a file:// address."""

import base64
import io
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import semask_cli
from semask_cli.datasets import IGNORE, classes, find_dataset, folder_dataset, read_classes, read_labels
from semask_cli.evaluation.report import error_map, report_page
from semask_cli.evaluation.sources import as_source
from tests.support import miniature
from tests.support.forking import finished_fork
from toy_street import TEST_SEEDS, render

CLASSES = classes("cityscapes")


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reported")
    root, masks = miniature.plant(folder, "cityscapes", "labelTrainIds")
    command = ("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--report", folder / "report")
    assert finished_fork(*command, cwd=folder, environment=os.environ).returncode == 0
    return folder / "report"


class Names(HTMLParser):
    """The data-name of every element, in order."""

    def __init__(self):
        super().__init__()
        self.names = []

    def handle_starttag(self, tag, attributes):
        self.names += [value for key, value in attributes if key == "data-name"]


def class_names(dom):
    parser = Names()
    parser.feed(dom)
    return parser.names


def test_a_page_asks_for_nothing_outside_itself(reported):
    page = (reported / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert page.count("<img") == page.count("data:image/jpeg;base64,") > 0


def test_the_figures_beside_the_page_are_those_of_the_evaluation(reported):
    figures = json.loads((reported / "evaluation.json").read_text(encoding="utf-8"))
    page = (reported / "report.html").read_text(encoding="utf-8")
    for value in (figures["miou"], figures["macc"], figures["aacc"], figures["cityscapes"]["iiou"]):
        assert f"{value:.2f}" in page
    assert (reported / "classes.csv").read_text(encoding="utf-8").count("\n") == 20


def test_the_report_opens_in_a_browser_with_everything_in_it(reported, browse):
    dom = browse(reported / "report.html", "--dump-dom")
    for element in (
        "headline",
        "partial",
        "classes",
        "confusions",
        "histogram",
        "settings",
        "matrix",
        "fine-grained",
        "categories",
        "provenance",
    ):
        assert f'id="{element}"' in dom
    for words in ("Worst images", "Best images", "traffic light", "mmseg", "frankfurt/frankfurt_000000_000000"):
        assert words in dom
    assert len(class_names(dom)) == 19


@pytest.mark.parametrize(
    ("button", "key"),
    [("worst", lambda c: c["iou"]), ("best", lambda c: -c["iou"]), ("name", lambda c: c["name"])],
)
def test_the_classes_sort_when_a_button_is_pressed(reported, browse, button, key):
    page = reported / "report.html"
    press = f"<script>document.querySelector('[data-by={button}]').click()</script></body>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", press), encoding="utf-8")
    classes = json.loads((reported / "evaluation.json").read_text(encoding="utf-8"))["classes"]
    assert class_names(browse(page, "--dump-dom")) == [c["name"] for c in sorted(classes, key=key)]


def acted(page, script):
    """The page with an asynchronous script that runs when its images are there; the browser waits for its end."""
    action = f"""<script>
      const held = document.body.appendChild(document.createElement("iframe"));
      held.contentDocument.open();  // what is being written is still loading
      Promise.all([...document.images].map((image) => image.decode()))
        .then(async () => {{ {script} }})
        .finally(() => held.contentDocument.close());
    </script></body>"""
    other = page.with_name("acted.html")
    other.write_text(page.read_text(encoding="utf-8").replace("</body>", action), encoding="utf-8")
    return other


def test_a_slider_leads_from_an_image_to_its_errors_and_classes_are_named(reported, browse):
    worst = "frankfurt/frankfurt_000000_000003"
    label = read_labels(
        reported.parent / f"cityscapes/gtFine/val/{worst}_gtFine_labelTrainIds.png", CLASSES.encodings["trainIds"]
    )
    predicted = np.asarray(Image.open(reported.parent / f"masks-cityscapes/{worst}.png"))
    row, column = np.argwhere((label != predicted) & (label != IGNORE))[0]
    use = f"""
      document.querySelector(".strip button").click();
      const press = (key) => viewer.dispatchEvent(new KeyboardEvent("keydown", {{ key }}));
      for (const key of [...Array(9).fill("ArrowRight"), "ArrowLeft"]) press(key);
      const image = stage.children[2], box = image.getBoundingClientRect();
      const clientX = box.left + (({column} + 0.5) / image.naturalWidth) * box.width;
      const clientY = box.top + (({row} + 0.5) / image.naturalHeight) * box.height;
      image.dispatchEvent(new PointerEvent("pointermove", {{ bubbles: true, clientX, clientY }}));
      slider.value = 1.5;
      slider.dispatchEvent(new Event("input"));
      document.body.dataset.opacities = [...stage.children].map((layer) => layer.style.opacity);
      press("ArrowRight");
      await decoded.get(shown.dataset.classes);
    """
    dom = browse(acted(reported / "report.html", use), "--dump-dom")
    viewer = re.search('<dialog id="viewer"[^>]* open', dom).start()
    assert f"<span>{worst}: prediction</span>" in dom[viewer:]
    names = CLASSES.classes
    assert f"<output>{names[label[row, column]]}, predicted {names[predicted[row, column]]}</output>" in dom[viewer:]
    assert 'data-opacities="1,1,0.5,0"' in dom


def test_one_class_can_be_looked_at_alone(reported, browse):
    figures = json.loads((reported / "evaluation.json").read_text(encoding="utf-8"))
    shown = {image["id"] for image in figures["picture_results"] if any(row[0] == 3 for row in image["totals"])}
    use = """
      const filter = document.getElementById("filter");
      filter.value = 3;
      filter.dispatchEvent(new Event("change"));
      const seen = (selector) => [...document.querySelectorAll(selector)].filter((each) => !each.hidden);
      document.body.dataset.bars = seen("#classes li").map((row) => row.dataset.name);
      document.body.dataset.images = seen(".images figure").length;
    """
    dom = browse(acted(reported / "report.html", use), "--dump-dom")
    assert f'data-bars="{CLASSES.classes[3]}"' in dom
    assert f'data-images="{len(shown)}"' in dom


def test_the_confusion_matrix_is_read_with_the_arrow_keys_in_every_order(reported, browse):
    evaluation = json.loads((reported / "evaluation.json").read_text(encoding="utf-8"))
    counts = np.array(evaluation["confusion"])
    use = """
      document.querySelector("[data-order=frequency]").click();
      for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"])
        matrix.dispatchEvent(new KeyboardEvent("keydown", { key }));
      document.body.dataset.size = matrix.width > 19 * 5;
    """
    dom = browse(acted(reported / "report.html", use), "--dump-dom")
    second = int(np.argsort(-counts.sum(axis=1), kind="stable")[1])
    entry = re.search(r'<output id="entry"[^>]*>([^<]*)<', dom).group(1)
    share = 100 * counts[second, second] / counts[second].sum()
    assert entry.startswith(f"{CLASSES.classes[second]}: ")
    assert float(entry.split()[-3]) == pytest.approx(share, abs=0.051)  # one decimal
    assert 'data-size="true"' in dom


def test_a_rare_confusion_is_not_read_as_a_frequent_one(tmp_path, browse):
    labels = np.zeros((100, 100), np.uint8)
    labels[:, 50:] = 1
    predicted = labels.copy()
    predicted[0, 0], predicted[0, 50:60] = 1, 0
    (tmp_path / "classes.txt").write_text("road\nsky\n")
    for kind, values in (("images", labels[..., None].repeat(3, 2)), ("labels", labels), ("masks", predicted)):
        miniature.save(tmp_path / kind / "a.png", values)
    dataset = folder_dataset(tmp_path / "images", tmp_path / "labels", read_classes(tmp_path / "classes.txt"))
    semask_cli.evaluate(dataset, tmp_path / "masks", report=tmp_path)
    use = """
      const read = (row, column) => (nameEntry(row, column), document.getElementById("entry").textContent);
      document.body.dataset.read = [read(0, 1), read(1, 0), read(0, 2)].join("; ");
    """
    dom = browse(acted(tmp_path / "report.html", use), "--dump-dom")
    assert (
        'data-read="road, predicted sky: below 0.1 %; sky, predicted road: 0.2 %; road, predicted no class: 0.0 %"'
        in dom
    )


def test_everything_is_unfolded_on_paper(reported, browse):
    use = """
      document.querySelectorAll("details").forEach((part) => (part.open = false));
      dispatchEvent(new Event("beforeprint"));
      document.body.dataset.folded = document.querySelectorAll("details:not([open])").length;
    """
    assert 'data-folded="0"' in browse(acted(reported / "report.html", use), "--dump-dom")


def test_a_report_of_two_thousand_images_stays_below_five_megabytes(planted, tmp_path):
    root, masks = planted("ade20k", "annotations", 12)
    dataset = find_dataset("ade20k", root=root)
    street = np.asarray(Image.fromarray(render(TEST_SEEDS[0]).image).resize((800, 600)))
    for sample in dataset.samples:
        miniature.save(sample.image, street)
        large = read_labels(sample.label, dataset.encoding).repeat(13, 0).repeat(13, 1)[:600, :800]
        miniature.save(sample.label, np.pad(large, [(0, 600 - large.shape[0]), (0, 800 - large.shape[1])]) % 150 + 1)
        miniature.save(masks / f"{sample.id}.png", read_labels(sample.label, dataset.encoding))
    evaluation = semask_cli.evaluate(dataset, masks, report=tmp_path / "report")
    many = replace(evaluation, image_results=evaluation.image_results * 170)
    page = report_page(many, dataset, as_source(masks, dataset))
    assert page.count("<figure") == 10
    assert len(page) < 5_000_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.slow
def test_the_report_is_drawn_in_light_and_dark(reported, browse, tmp_path, scheme):
    options = ["--force-dark-mode"] if scheme == "dark" else []
    browse(reported / "report.html", f"--screenshot={tmp_path / 'page.png'}", *options)
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"))
    paper = pixels[:, :20].mean()
    assert paper > 240 if scheme == "light" else paper < 40
    assert len(np.unique(pixels @ (1 << 16, 1 << 8, 1))) > 1000  # colours of text, bars and images, not a blank page


def test_an_error_map_marks_what_is_wrong_and_what_is_not_counted():
    image = np.full((1, 3, 3), 100, np.uint8)
    shown = error_map(image, np.array([[1, 1, 255]], np.uint8), np.array([[1, 2, 2]], np.uint8))
    right, wrong, ignored = shown[0].astype(int)
    assert right.tolist() == [45, 45, 45]
    assert wrong[0] > 2 * wrong[1]
    assert ignored.min() > 150


@pytest.mark.parametrize("size", [(70_000, 2), (2, 70_000)])
def test_an_image_of_any_shape_is_shown(tmp_path, size):
    truth = np.zeros(size, np.uint8)
    truth[: size[0] // 2] = 1
    miniature.save(tmp_path / "images/1.png", np.zeros((*size, 3), np.uint8))
    for name in ("labels", "masks"):
        miniature.save(tmp_path / name / "1.png", truth)
    dataset = folder_dataset(tmp_path / "images", tmp_path / "labels", CLASSES)
    semask_cli.evaluate(dataset, tmp_path / "masks", journal=tmp_path / "journal", report=tmp_path / "report")
    page = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    photo = re.search(r"data:image/jpeg;base64,([^\"]+)", page)
    with Image.open(io.BytesIO(base64.b64decode(photo[1]))) as image:
        assert max(image.size) in (720, 10_000)
