"""semask from a wheel and from a source distribution: the data files travel along, and the command works."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def test_the_wheel_carries_the_zoo_and_the_kernels(distributions: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(distributions[1]).namelist())
    assert "semask_cli/weights.toml" in names
    assert {f"semask_cli/kernels/{path.name}" for path in (ROOT / "kernels").glob("*.cu*")} <= names
    assert all(name.startswith(("semask_cli/", "semask-")) for name in names)


def test_the_source_distribution_can_be_tested(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"weights.toml", "constraints.txt", "constraints-lowest.txt", "Makefile", "README.md"} < names
    assert {"LICENSE", "NOTICE", "tests/conftest.py", "training/train.py"} < names
    assert {f"docs/{path.name}" for path in (ROOT / "docs").iterdir()} < names


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_semask_runs_from(kind: str, distributions: tuple[Path, Path], tmp_path: Path) -> None:
    """In a fresh environment that borrows this one's libraries, which take minutes to install."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    libraries = next(path for path in map(Path, sys.path) if (path / "torch").is_dir())
    [site] = (tmp_path / "venv/lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(f"{libraries}\n")
    source = {"sdist": [distributions[0]], "wheel": [distributions[1]], "editable": ["--editable", ROOT]}[kind]
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--ignore-installed"]
    subprocess.run([*install, *source], check=True)
    command = [tmp_path / "venv/bin/semask", "models", "swin-t-fpn", "--json"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    finished = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert "1L0daUHWQGNGCXHF-cKWEauPSyBV0GLOR" in finished.stdout
    where = subprocess.run(
        [python, "-c", "import semask_cli.io.resources as r; print(r.project_file('kernels'))"],
        check=True, capture_output=True, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    expected = ROOT if kind == "editable" else site / "semask_cli"
    assert Path(where.stdout.strip()) == expected / "kernels"
