"""training/README.md: its commands give its figure."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import Run

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_figure_over_sixty_scenes(tmp_path: Path, semask: Run) -> None:
    readme = (ROOT / "training/README.md").read_text()
    [render] = re.findall(r"^    python (-m toy_street .*)$", readme, flags=re.MULTILINE)
    [evaluate] = re.findall(r"^    semask (eval .*)$", readme, flags=re.MULTILINE)
    [figure] = re.findall(r"^\| whole images, single scale \| 60 \| ([\d.]+) ", readme, flags=re.MULTILINE)
    command = [sys.executable, *shlex.split(render)]
    subprocess.run([*command[:3], str(tmp_path / command[3]), *command[4:]], check=True, cwd=ROOT)
    evaluation = json.loads(semask(*shlex.split(evaluate), "--json").stdout)
    assert evaluation["pictures"] == 60
    # Another processor's rounding may turn a few pixels.
    assert evaluation["miou"] == pytest.approx(float(figure), abs=0.05)
