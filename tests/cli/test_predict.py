"""`semask predict`, as a person or a script runs it: real files in, real files out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semask_cli.datasets import classes
from semask_cli.errors import DeviceError, ImageError, OutputError, UsageError
from tests.support import filled
from tests.support.command_line import Run
from tests.support.figures import figure

ROW = "swin-t-fpn"
TOY = ("--model", "toy-street-fpn", "--threads", "1")
SINGLE = "pipeline/swin-t-fpn__single__300x400__s21.npz"


@pytest.fixture
def model(checkpoint_of: Callable[[str], Path]) -> list[str]:
    """The options that choose a small model with deterministic weights."""
    return ["--model", ROW, "--checkpoint", str(checkpoint_of(ROW)), "--threads", "2"]


def image(path: Path, height: int = 40, width: int = 60, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(filled.image(height, width, seed)).save(path)
    return path


@pytest.mark.slow
def test_the_mask_on_disk_has_the_published_labels(semask: Run, model: list[str], tmp_path: Path) -> None:
    expected = figure(SINGLE)
    Image.fromarray(expected.image).save(tmp_path / "in.png")
    finished = semask("predict", "in.png", *model)
    mask = Image.open(tmp_path / "masks" / "in.png")
    assert mask.mode == "P"
    assert np.mean(np.asarray(mask) == expected["label"]) >= 0.9995
    palette = np.array(mask.getpalette()).reshape(-1, 3)
    assert np.array_equal(palette[:150], classes("ade20k").palette)
    assert finished.stdout.startswith("in.png -> masks/in.png")
    largest = classes("ade20k").classes[np.bincount(expected["label"].ravel()).argmax()]
    assert largest in finished.stdout


@pytest.mark.slow
def test_every_kind_of_output_and_one_json_document(semask: Run, tmp_path: Path) -> None:
    image(tmp_path / "a b [1] ü.jpg", 33, 47)
    kinds = "mask,color,overlay,side,legend,json"
    finished = semask("predict", "a b [1] ü.jpg", "--save", kinds, "-o", "out", "--json", *TOY)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    stem = "a b [1] ü"
    assert names == {f"{stem}{e}" for e in (".png", ".json", ".color.png", ".overlay.jpg", ".side.jpg", ".legend.jpg")}
    document = json.loads(finished.stdout)
    assert document["schema_version"] == 1
    [row] = document["pictures"]
    assert (row["width"], row["height"]) == (47, 33)
    assert set(row["files"]) == set(kinds.split(","))
    assert sum(entry["pixels"] for entry in row["classes"]) == 33 * 47
    assert all(0 < entry["mean_confidence"] <= 1 for entry in row["classes"])
    assert row["run"]["model"] == TOY[1]
    assert len(row["run"]["checkpoint"]) == 64
    saved = json.loads((tmp_path / "out" / f"{stem}.json").read_text())
    assert saved["classes"] == row["classes"]


@pytest.mark.slow
def test_folders_keep_their_shape_and_globs_and_stdin_work(semask: Run, tmp_path: Path) -> None:
    for name in ("top.jpg", "x/one.png", "x/y/two.JPG", "x/notes.txt"):
        if name.endswith(".txt"):
            (tmp_path / "album" / name).write_text("not an image")
        else:
            image(tmp_path / "album" / name)
    semask("predict", "album", "-o", "out", *TOY)
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png")} == {
        "top.png",
        "x/one.png",
        "x/y/two.png",
    }
    semask("predict", "album/**/*.[pJ]*", "-o", "globbed", *TOY)
    assert (tmp_path / "globbed/x/y/two.png").exists()
    with (tmp_path / "album/top.jpg").open("rb") as stream:
        semask("predict", "-", "-o", "piped", *TOY, stdin=stream)
    assert (tmp_path / "piped/stdin.png").read_bytes() == (tmp_path / "out/top.png").read_bytes()


@pytest.mark.slow
def test_one_bad_file_is_a_row_and_a_non_zero_exit(semask: Run, tmp_path: Path) -> None:
    image(tmp_path / "1.jpg")
    good = image(tmp_path / "2.jpg", 200, 300).read_bytes()
    (tmp_path / "2.jpg").write_bytes(good[: len(good) // 2])
    image(tmp_path / "3.png")
    finished = semask("predict", "1.jpg", "2.jpg", "3.png", "--json", *TOY, check=ImageError.exit_code)
    rows = json.loads(finished.stdout)["pictures"]
    assert [row["input"] for row in rows] == ["1.jpg", "2.jpg", "3.png"]
    assert "2.jpg is truncated" in rows[1]["error"]
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["1.png", "3.png"]
    assert "1 of 3" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["a.jpg", "a.png"], OutputError, "would both be written"),
        (["a.png", "-o", "."], OutputError, "would replace"),
        (["a.png", "-o", "mask.png"], UsageError, "mask.png is a file name"),
        (["a.png", "-o", "a.mp4"], UsageError, "a.mp4 is a file name"),
        (["a.png", "-o", "empty/../a.jpg/masks"], OutputError, "but results need a folder"),
        (["a.png", "--report", "a.jpg"], OutputError, "but results need a folder"),
        (["a.png", "--report", "g", "--save", "preview"], UsageError, "previews into its own folder"),
        (["missing.jpg"], ImageError, "no file missing.jpg"),
        (["empty"], ImageError, "no image in empty"),
        (["*.gif"], ImageError, "no image matches"),
        ([], UsageError, "no images are named"),
        (["a.png", "--shard", ""], UsageError, "not a shard"),
        (["a.png", "--save", "mask,movie"], UsageError, "movie"),
        (["a.png", "--ms-flip", "--scales", "1,2"], UsageError, "--ms-flip"),
        (["a.png", "--scales", "big"], UsageError, "big"),
        (["a.png", "--mode", "slide", "--crop", "64", "--stride", "65"], UsageError, "pixels are missed"),
        (["a.png", "--crop", "64"], UsageError, "--mode slide"),
        (["a.png", "--memory-budget", "plenty"], UsageError, "plenty"),
        (["a.png", "--device", "cpu", "--cuda-graphs"], DeviceError, "CUDA graphs need a CUDA device"),
        (["a.png", "--device", "abacus"], DeviceError, "abacus"),
        (["-", "--ray", "local"], UsageError, "do not have this one's stdin"),
        (["one.png", "--ray", ""], UsageError, "--ray has no address"),
        (["a.png", "--tolerance", "2"], UsageError, "--save mask takes no --tolerance"),
        (["a.png", "--save", "index,coco", "--opacity", "1"], UsageError, "--save index,coco takes no --opacity"),
        (["a.png", "--save", "json", "--top", "3"], UsageError, "It is for scores."),
    ],
)
@pytest.mark.slow
def test_mistakes_are_told_in_a_line(semask: Run, tmp_path: Path, arguments: list[str], error: type, said: str) -> None:
    image(tmp_path / "a.jpg")
    image(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    finished = semask("predict", *arguments, *TOY, check=error.exit_code)
    assert said in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    assert not list(tmp_path.glob("masks/*.png"))


@pytest.mark.slow
def test_windows_in_little_memory_give_the_same_mask(semask: Run, tmp_path: Path) -> None:
    Image.fromarray(filled.image(200, 700, 3)).save(tmp_path / "wide.png")
    slide = ("-m", "toy-street-fpn", "--mode", "slide", "--scales", "native", "--crop", 96)
    semask("predict", "wide.png", *slide, "-o", "plenty")
    semask("predict", "wide.png", *slide, "-o", "little", "--memory-budget", "100K")
    plenty, little = (np.asarray(Image.open(tmp_path / f"{name}/wide.png")) for name in ("plenty", "little"))
    assert (plenty == little).mean() > 0.9999
    assert len(np.unique(plenty)) > 1


def test_an_unknown_model_is_met_with_a_suggestion(semask: Run, tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    finished = semask("predict", "a.png", "--model", "swin-t-fnp", check=UsageError.exit_code)
    assert "Did you mean swin-t-fpn" in finished.stderr


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (2, 3)])
@pytest.mark.slow
def test_tiny_and_thin_images(semask: Run, tmp_path: Path, height: int, width: int) -> None:
    image(tmp_path / "thin.png", height, width)
    semask("predict", "thin.png", "--save", "mask,legend", "--save", "json", *TOY)
    assert np.asarray(Image.open(tmp_path / "masks/thin.png")).shape == (height, width)


@pytest.mark.slow
def test_the_mask_is_in_displayed_orientation(semask: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # displayed a quarter turn clockwise
    upright = filled.image(40, 60, 1)
    Image.fromarray(np.rot90(upright)).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(upright).save(tmp_path / "upright.png")
    semask("predict", "turned.png", "upright.png", *TOY)
    turned, plain = (np.asarray(Image.open(tmp_path / "masks" / f"{n}.png")) for n in ("turned", "upright"))
    assert np.array_equal(turned, plain)


@pytest.mark.slow
def test_a_bomb_is_refused_by_its_size(semask: Run, tmp_path: Path) -> None:
    image(tmp_path / "large.png", 100, 100)
    finished = semask("predict", "large.png", "--max-pixels", "9999", *TOY, check=ImageError.exit_code)
    assert "--max-pixels 10000" in finished.stderr


@pytest.mark.slow
def test_offline_without_a_checkpoint_says_the_ways_out(semask: Run, tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    finished = semask("predict", "a.png", check=21)
    for suggestion in ("swin-l-m2f", "semask download", "--from", "--checkpoint"):
        assert suggestion in finished.stderr


@pytest.mark.slow
def test_the_api_and_the_command_line_agree(semask: Run, tmp_path: Path) -> None:
    import semask_cli

    path = image(tmp_path / "a.png", 70, 90)
    segmenter = semask_cli.load(TOY[1], device="cpu")
    pixels = filled.image(70, 90, 1)
    labels = segmenter.predict(path).labels
    for source in (str(path), Image.open(path), pixels):
        assert np.array_equal(segmenter.predict(source).labels, labels)
    semask("predict", "a.png", *TOY)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "masks/a.png")), labels)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    watched = "torch", "torchvision", "timm", "cv2", "scipy", "gdown", "PIL", "numpy"
    code = f"""
import sys
sys.argv = ["semask", *{{arguments}}]
from semask_cli.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print([name for name in {watched} if name in sys.modules], file=sys.stderr)
"""
    for line in ("--help", "predict --help", "eval --help", "models", "models swin-l-m2f --json"):
        arguments = line.split()
        finished = subprocess.run(
            [sys.executable, "-c", code.format(arguments=arguments)], capture_output=True, text=True, check=True
        )
        assert finished.stderr.strip().endswith("[]"), (arguments, finished.stderr)


def test_ctrl_c_and_a_closed_pipe_are_no_tracebacks(semask: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    finished = semask("models", "--json", check=None, capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert "Traceback" not in finished.stderr
