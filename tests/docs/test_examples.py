"""The examples of the documentation: all are parsed, and run where nothing stands against it.

Published models are replaced by the bundled ones, through rows of the same names in a zoo file.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from semask_cli.cli import app
from semask_cli.io.resources import project_file
from semask_cli.models.build import build_model
from semask_cli.zoo import load_zoo
from tests.support.forking import forking_program
from tests.support.pages import PAGES, ROOT, Example, examples
from toy_street import TEST_SEEDS, render, write_cityscapes, write_folders

STAND_INS = {
    "swin-l-m2f": "toy-street-m2f",
    "swin-l-m2f-cityscapes": "toy-street-m2f",
    "swin-t-fpn": "toy-street-fpn",
    "swin-t-fpn-cityscapes": "toy-street-fpn",
}

EXAMPLES = [example for page in PAGES for example in examples(page)]
SHELL = [example for example in EXAMPLES if example.language == "sh"]
PYTHON = [example for example in EXAMPLES if example.language == "python"]
RUN = [page for page in PAGES if any(example.is_run for example in examples(page))]


def place(value: object) -> str | None:
    return value.place if isinstance(value, Example) else None


def test_there_are_examples_and_most_are_run() -> None:
    assert {example.language for example in EXAMPLES} <= {"sh", "python", "toml"}
    assert len(PYTHON) >= 4
    engines = [example for example in PYTHON if not example.is_run]
    assert {example.page.name for example in engines} <= {"ten-million.md", "cookbook.md"}  # no clusters, no FastAPI
    for example in engines:
        compile(example.text, example.place, "exec")
    assert sum(example.is_run for example in SHELL) >= 6


@pytest.mark.parametrize("example", SHELL, ids=place)
def test_commands_are_parsed_by_the_real_command_line(example: Example) -> None:
    for line in _commands(example.text):
        _parse(line)


def test_commands_between_the_lines_are_parsed_too() -> None:
    """`semask ...` in running text names a command and options that exist."""
    inline = [text for page in PAGES for text in re.findall(r"`semask (\w[^`]*)`", page.read_text())]
    assert len(inline) >= 10
    for text in inline:
        words = shlex.split(text)
        if words[0] != "COMMAND":
            options = {option for parameter in _command(words[0]).params for option in parameter.opts} | {"--help"}
            assert {word for word in words[1:] if word.startswith("-")} <= options


def test_a_renamed_option_is_noticed() -> None:
    with pytest.raises(Exception, match="--root-folder"):
        _parse("semask check --dataset ade20k --root-folder /data")
    with pytest.raises(KeyError, match="look"):
        _parse("semask look photo.jpg")


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_examples_run(page: Path, tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another in one folder, those in Python in one namespace, as a reader would do it."""
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("SEMASK_ZOO", str(_stand_ins(tmp_path / "zoo.toml")))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    namespace: dict[str, object] = {}
    with forking_program(tmp_path / "bin/semask"):
        for example in examples(page):
            if not example.is_run:
                continue
            if example.language == "python":
                exec(compile(example.text, example.place, "exec"), namespace)
            elif example.language == "sh":
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", example.text], capture_output=True, text=True)
                assert done.returncode == 0, (example.place, done.stdout, done.stderr)


def test_the_dataset_of_the_contributing_guide_is_a_dataset(tmp_path: Path) -> None:
    read_spec = pytest.importorskip("semask_cli.datasets.spec").read_spec
    [example] = [
        example for example in EXAMPLES if example.page.name == "CONTRIBUTING.md" and example.language == "toml"
    ]
    (tmp_path / "roads.toml").write_text(example.text)
    assert list(read_spec(tmp_path / "roads.toml").classes) == ["road", "building", "other ground"]


def test_the_row_of_the_models_page_is_a_model(tmp_path: Path) -> None:
    [example] = [example for example in EXAMPLES if example.page.name == "models.md" and example.language == "toml"]
    (tmp_path / "zoo.toml").write_text(example.text)
    assert build_model(load_zoo(tmp_path / "zoo.toml").find("my-swin-t"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with the files that the examples name."""
    folder = tmp_path / "workspace"
    scenes = [Image.fromarray(render(seed).image) for seed in TEST_SEEDS[:2]]
    (folder / "photos/holiday").mkdir(parents=True)
    for name in ("photo.jpg", "photos/a.jpg", "photos/holiday/b.jpg", "street.png"):
        scenes[0].save(folder / name)
    scenes[1].resize((800, 600)).save(folder / "ortho.tif")
    for split in ("val", "test"):
        write_cityscapes(folder / "data/cityscapes", TEST_SEEDS[:2], split=split)
    write_folders(folder / "mine", TEST_SEEDS[:2])
    (folder / "mine/toy-street.txt").rename(folder / "mine/classes.txt")
    shutil.copytree(folder / "mine/labels", folder / "mine/masks")
    return folder


def _commands(text: str) -> list[str]:
    """The lines of a shell example, each without its comment, that run semask."""
    lines = text.replace("\\\n", " ").splitlines()
    return [
        line for line in lines if re.search(r"\bsemask(_cli)?\b", line) and not line.startswith(("pip ", "export "))
    ]


def _parse(line: str) -> None:
    """Parse a command line as semask would, without running it.

    Raises:
        KeyError: no such command.
        Exception: the command line's own, for an option or value that does not exist.
    """
    words = shlex.split(line.partition(" > ")[0], comments=True)
    start = next(i for i, word in enumerate(words) if word in ("semask", "semask_cli"))
    name, *arguments = words[start + 1 :]
    _command(name).make_context(name, arguments)


def _command(name: str) -> Any:
    return typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]


def _stand_ins(path: Path) -> Path:
    """A zoo file in which published names are the bundled models, at half their test size to save time."""
    models = tomllib.loads(project_file("weights.toml").read_text())["models"]
    lines: list[str] = []
    for name, bundled in STAND_INS.items():
        row = {key: value for key, value in models[bundled].items() if key not in ("checkpoints", "head")}
        [checkpoint] = models[bundled]["checkpoints"]
        weights = checkpoint | {"path": str(project_file("bundled").parent / checkpoint["path"])}
        lines += [f"[models.{name}]", *_entries(row | {"short_side": 128, "long_side": 256})]
        lines += [f"[models.{name}.head]", *_entries(models[bundled].get("head", {}))]
        lines += [f"[[models.{name}.checkpoints]]", *_entries(weights), ""]
    path.write_text("\n".join(lines))
    return path


def _entries(table: dict[str, object]) -> list[str]:
    """TOML of strings, numbers and lists of them, which Python writes in the same way."""
    return [f"{key} = {value!r}" for key, value in table.items()]
