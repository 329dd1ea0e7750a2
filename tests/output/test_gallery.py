"""The gallery shows every image of a run, in a real browser, whatever its name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import classes
from semask_cli.output.gallery import write_gallery
from semask_cli.output.segmentation import Segmentation
from semask_cli.output.segmented_image import RunInfo
from tests.support.command_line import Run

CITYSCAPES = classes("cityscapes")
INFO = RunInfo(
    model="toy",
    dataset="cityscapes",
    checkpoint="",
    device="cpu",
    precision="fp32",
    engine="torch",
    mode="whole",
    scales=(1.0,),
    flip=False,
    milliseconds={},
    versions={},
)


def save_preview(path: Path, *, name: str, label: int, size: tuple[int, int] = (40, 60)) -> None:
    labels = np.full(size, label, np.uint8)
    labels[:10] = 10  # sky
    segmentation = Segmentation(
        labels=labels,
        classes=CITYSCAPES.classes,
        palette=CITYSCAPES.palette,
        info=INFO,
        name=name,
        image=np.full((*size, 3), 90, np.uint8),
    )
    segmentation.save(path, kind="preview")


def listed(page: Path) -> list[dict]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page.read_text(), flags=re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("size", [(40, 60), (1, 1), (700, 3), (900, 1400)])
def test_a_preview_tells_what_the_page_needs(tmp_path: Path, size: tuple[int, int]) -> None:
    save_preview(tmp_path / "previews/a.preview.jpg", name="a.jpg", label=0, size=size)
    [image] = listed(write_gallery(tmp_path))
    assert (image["name"], image["height"], image["width"]) == ("a.jpg", *size)
    assert image["src"] == "previews/a.preview.jpg"
    assert sum(each["share"] for each in image["classes"]) == pytest.approx(1, abs=1e-5)
    with Image.open(tmp_path / image["src"]) as preview:
        assert preview.height % 2 == 0
        assert max(preview.width, preview.height // 2) == min(512, max(size))


def test_what_is_no_preview_is_left_out(tmp_path: Path) -> None:
    save_preview(tmp_path / "previews/sub/a.preview.jpg", name="a.jpg", label=0)
    Image.new("RGB", (4, 4)).save(tmp_path / "previews/other.jpg")
    (tmp_path / "previews/text.jpg").write_text("no image")
    [image] = listed(write_gallery(tmp_path))
    assert (image["name"], image["src"]) == ("sub/a.jpg", "previews/sub/a.preview.jpg")


def test_the_page_filters_sorts_and_slides_in_a_browser(tmp_path: Path, browse: Callable[..., str]) -> None:
    names = ["b</script><b>.jpg", "a & 'b'.jpg", "c#?%.jpg"]
    for number, (name, label) in enumerate(zip(names, (0, 0, 13), strict=True)):
        save_preview(tmp_path / f"previews/{number} #?%.preview.jpg", name=name, label=label)
    page = write_gallery(tmp_path)
    tried = """<script>
      const names = () => [...document.querySelectorAll(".card .name")].map((each) => each.textContent);
      const report = { all: names() };
      [...document.querySelectorAll(".chips button")].find((chip) => chip.textContent.startsWith("car")).click();
      report.cars = names();
      document.querySelector(".chips button[aria-pressed=true]").click();
      document.querySelector("input[type=search]").value = "SCRIPT";
      document.querySelector("input[type=search]").dispatchEvent(new Event("input"));
      report.found = names();
      document.querySelector(".card").click();
      slider.value = 80; slider.dispatchEvent(new Event("input"));
      report.viewer = [viewer.open, viewer.querySelector("strong").textContent,
        viewer.querySelector(".stage").style.getPropertyValue("--at"), viewer.querySelectorAll("li").length];
      addEventListener("load", () => {
        document.body.dataset.report = JSON.stringify(report);
        const loaded = [...viewer.querySelectorAll("img")].every((img) => img.naturalWidth === 60);
        document.body.dataset.loaded = String(loaded);
      });
    </script></body>"""
    page.write_text(page.read_text().replace("</body>", tried))
    dom = browse(page, "--dump-dom")
    found = re.search(r'data-report="([^"]*)"', dom)
    assert found
    report = json.loads(found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert report["all"] == sorted(names)
    assert report["cars"] == ["c#?%.jpg"]
    assert report["found"] == ["b</script><b>.jpg"]
    assert report["viewer"] == [True, "b</script><b>.jpg", "80", 2]
    assert 'data-loaded="true"' in dom


@pytest.mark.slow
def test_the_command_writes_a_page(semask: Run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)).save(tmp_path / name)
    finished = semask("predict", "a.png", "b.png", "-m", "toy-street-fpn", "--threads", "1", "--report", "page")
    assert "all images on one page: page/index.html" in finished.stderr
    assert [image["name"] for image in listed(tmp_path / "page/index.html")] == ["a.png", "b.png"]
