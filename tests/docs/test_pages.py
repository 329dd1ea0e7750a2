"""Tables that repeat what stands elsewhere, links, and versions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from semask_cli import __version__
from semask_cli.zoo import load_zoo
from tests.support.pages import PAGES, ROOT, without_code

LINKING = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", ROOT / "training/README.md"]


@pytest.mark.slow
def test_generated_tables_are_up_to_date() -> None:
    run = subprocess.run([sys.executable, ROOT / "docs/generate.py", "--check"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_an_outdated_table_is_noticed(tmp_path: Path) -> None:
    """The check compares: it is not satisfied by a page in which a figure was changed."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from generate import filled
    finally:
        sys.path.pop(0)
    readme = (ROOT / "README.md").read_text()
    assert filled(readme) == readme
    changed = readme.replace("| swin-t-fpn | ade20k | 42.11 |", "| swin-t-fpn | ade20k | 52.11 |")
    assert changed != readme
    assert filled(changed) == readme


def test_every_variable_of_the_environment_is_explained() -> None:
    code = "".join(file.read_text() for file in (ROOT / "semask_cli").rglob("*.py"))
    explained = (ROOT / "docs/exit-codes.md").read_text()
    assert set(re.findall(r"SEMASK_[A-Z]+", code)) == set(re.findall(r"SEMASK_[A-Z]+", explained))


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/models.md"], ids=lambda page: page.name)
def test_the_models_table_has_every_published_row(page: Path) -> None:
    rows = re.findall(r"^\| ([\w-]+)(?: \*)? \| (\S+) \| ([\d.]+) \| ([\d.]+) \|", page.read_text(), flags=re.MULTILINE)
    published = {
        (name, spec.dataset, f"{spec.miou:.2f}", f"{spec.miou_ms_flip:.2f}")
        for name, spec in load_zoo().models.items()
        if any(file.drive_id for file in spec.checkpoints)
    }
    assert set(rows) == published


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    text = without_code(page.read_text())
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    local = [target for target in targets if not target.startswith(("https://", "http://"))]
    missing = [target for target in local if not (page.parent / target.partition("#")[0]).exists()]
    assert not missing


def test_change_log_and_citation_name_the_version() -> None:
    assert re.search(rf"^## \[{re.escape(__version__)}\] - ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
