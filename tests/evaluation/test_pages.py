"""The report, in a real browser from a file:// address."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import IGNORE, classes, read_labels
from semask_cli.evaluation.report import error_map

CLASSES = classes("cityscapes")


@pytest.fixture
def reported(semask, planted, tmp_path):
    root, masks = planted("cityscapes", "labelTrainIds")
    semask("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--report", tmp_path / "report")
    return tmp_path / "report"


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
    for element in ("headline", "partial", "classes", "confusions", "histogram", "settings"):
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


def test_an_image_is_shown_large_its_views_change_in_place_and_its_classes_are_named(reported, browse, tmp_path):
    worst = "frankfurt/frankfurt_000000_000003"
    label = read_labels(
        tmp_path / f"cityscapes/gtFine/val/{worst}_gtFine_labelTrainIds.png", CLASSES.encodings["trainIds"]
    )
    predicted = np.asarray(Image.open(tmp_path / f"masks-cityscapes/{worst}.png"))
    row, column = np.argwhere((label != predicted) & (label != IGNORE))[0]
    use = f"""<script>addEventListener("load", () => {{
      document.querySelector(".strip button").click();
      const viewer = document.getElementById("viewer");
      for (const key of [...Array(9).fill("ArrowRight"), "ArrowLeft"])
        viewer.dispatchEvent(new KeyboardEvent("keydown", {{ key }}));
      const image = viewer.querySelector("img"), box = image.getBoundingClientRect();
      const clientX = box.left + (({column} + 0.5) / image.naturalWidth) * box.width;
      const clientY = box.top + (({row} + 0.5) / image.naturalHeight) * box.height;
      image.dispatchEvent(new PointerEvent("pointermove", {{ bubbles: true, clientX, clientY }}));
    }})</script></body>"""
    page = reported / "report.html"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", use), encoding="utf-8")
    dom = browse(page, "--dump-dom", "--virtual-time-budget=3000")
    viewer = dom[dom.index('<dialog id="viewer" open') :]
    assert f"<span>{worst}: prediction</span>" in viewer
    names = CLASSES.classes
    assert f"<output>{names[label[row, column]]}, predicted {names[predicted[row, column]]}</output>" in viewer


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.slow
def test_the_report_is_drawn_in_light_and_dark(reported, browse, tmp_path, scheme):
    options = ["--force-dark-mode"] if scheme == "dark" else []
    browse(reported / "report.html", f"--screenshot={tmp_path / 'page.png'}", *options)
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"))
    paper = pixels[:, :20].mean()
    assert paper > 240 if scheme == "light" else paper < 40
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000  # text, bars and images, not a blank page


def test_an_error_map_marks_what_is_wrong_and_what_is_not_counted():
    image = np.full((1, 3, 3), 100, np.uint8)
    shown = error_map(image, np.array([[1, 1, 255]], np.uint8), np.array([[1, 2, 2]], np.uint8))
    right, wrong, ignored = shown[0].astype(int)
    assert right.tolist() == [45, 45, 45]
    assert wrong[0] > 2 * wrong[1]
    assert ignored.min() > 150
