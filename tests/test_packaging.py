"""semask from a wheel and from a source distribution: the data files travel along, and the command works."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def test_the_wheel_carries_the_zoo_the_kernels_and_the_demo(distributions: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(distributions[1]).namelist())
    assert {"semask_cli/weights.toml", "semask_cli/py.typed", "semask_cli/demo/toy-street.txt"} <= names
    assert "semask_cli/evaluation/evaluation.schema.json" in names
    assert sum(name.startswith("semask_cli/demo/images/") for name in names) == 10
    assert {f"semask_cli/kernels/{path.name}" for path in (ROOT / "kernels").glob("*.cu*")} <= names
    assert all(name.startswith(("semask_cli/", "semask-")) for name in names)


def test_the_source_distribution_can_be_tested(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"weights.toml", "constraints.txt", "constraints-lowest.txt", "Makefile", "README.md"} < names
    assert {"LICENSE", "NOTICE", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "SECURITY.md"} < names
    assert {"tests/conftest.py", "training/train.py", "toy_street/scene.py", "mkdocs.yml"} < names
    assert {f"docs/{path.name}" for path in (ROOT / "docs").iterdir() if path.is_file()} < names


def test_the_lowest_versions_are_those_that_are_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    promised = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    promised |= {
        r.name: r.specifier for r in map(Requirement, project["optional-dependencies"]["dev"]) if r.name in pins
    }
    assert pins.keys() == promised.keys()
    for name, specifier in promised.items():
        [lowest] = [Version(bound.version) for bound in specifier if bound.operator == ">="]
        assert specifier.contains(pins[name]), (name, pins[name])
        assert Version(pins[name]).release[: len(lowest.release)] == lowest.release, (name, pins[name])


@pytest.fixture(scope="module")
def from_wheel(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel."""
    return installed([distributions[1]], tmp_path_factory.mktemp("wheel") / "venv")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_semask_runs_from(kind: str, distributions: tuple[Path, Path], from_wheel: Path, tmp_path: Path) -> None:
    source = {"sdist": [distributions[0]], "editable": ["--editable", ROOT]}
    python = from_wheel if kind == "wheel" else installed(source[kind], tmp_path / "venv")
    assert "1L0daUHWQGNGCXHF-cKWEauPSyBV0GLOR" in run(python.with_name("semask"), "models", "swin-t-fpn", "--json")
    kernels = run(python, "-c", "import semask_cli.io.resources as r; print(r.project_file('kernels'))")
    [site] = python.parents[1].glob("lib/python*/site-packages")
    assert Path(kernels.strip()) == (ROOT if kind == "editable" else site / "semask_cli") / "kernels"


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel_without_the_renderer(from_wheel: Path, tmp_path: Path) -> None:
    python = from_wheel
    with pytest.raises(subprocess.CalledProcessError):
        run(python, "-c", "import toy_street")
    assert "toy-street-fpn on toy-street, 10 images" in run(python.with_name("semask"), "demo", tmp_path / "demo")
    assert len(list((tmp_path / "demo/masks").glob("*.legend.jpg"))) == 10
    assert (tmp_path / "demo/report/report.html").exists()


def installed(source: list[str | Path], folder: Path) -> Path:
    """The interpreter of a fresh environment with semask, which borrows this one's libraries: they take minutes."""
    venv.create(folder)
    python = folder / "bin/python"
    libraries = next(path for path in map(Path, sys.path) if (path / "torch").is_dir())
    [site] = (folder / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(f"{libraries}\n")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    subprocess.run([*install, "--no-deps", "--no-build-isolation", "--ignore-installed", *source], check=True)
    return python


def run(program: Path, *arguments: str | Path) -> str:
    """What a command prints, run where no source tree is found."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [program, *arguments], check=True, capture_output=True, text=True, cwd=program.parent, env=environment
    ).stdout
