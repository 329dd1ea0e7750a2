"""Damaged journals: a resumed evaluation gives the figures of a whole one, or is refused in words."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from semask_cli.errors import SemaskError
from semask_cli.evaluation.evaluate import evaluate
from semask_cli.evaluation.results import Evaluation
from tests.faults.case import Fault, mutate
from tests.support import miniature

_IMAGES = 4


@cache
def planted() -> tuple[Path, Path]:
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("FAULTS_FOLDER")))
    return miniature.plant(folder, "cityscapes", "labelTrainIds", _IMAGES)


def _evaluated(journal: Path) -> Evaluation:
    root, masks = planted()
    return evaluate("cityscapes", masks, root=root, journal=journal)


@cache
def whole() -> tuple[Path, Evaluation]:
    """A journal, and the evaluation that it is of."""
    journal = Path(tempfile.mkdtemp(dir=os.environ.get("FAULTS_FOLDER")))
    return journal, _evaluated(journal)


def journal_case(draw: random.Random, folder: Path) -> str:
    journal, figures = whole()
    shutil.copytree(journal, folder / "journal")
    file = folder / "journal/rank-0.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    if draw.random() < 0.4:
        file.write_bytes(mutate(draw, file.read_bytes())[0])
    elif draw.random() < 0.1:
        file.unlink()
        draw.choice((file.mkdir, lambda: os.mkfifo(file), lambda: file.symlink_to(file)))()
    else:
        number = draw.randrange(draw.choice((1, len(lines))), len(lines) + 1) - 1
        lines[number] = _damaged(draw, lines[number])
        if draw.random() < 0.2:
            draw.shuffle(lines)
        file.write_bytes(b"".join(lines))
    try:
        found = _evaluated(folder / "journal")
    except SemaskError as error:
        if "rank-0.jsonl" not in error.message:
            raise Fault(f"a refusal that names no file: {error.message}") from None
        return "refused"
    if found != figures:
        raise Fault("the figures have changed")
    return "equal"


def _damaged(draw: random.Random, line: bytes) -> bytes:
    """Another line of JSON, or none."""
    odd: Any = draw.choice((None, [], 123, "x", {}, -1, 1e400, True, 10**30, [[]], {"id": 1}))
    plain = draw.choice((b"[" * 100_000, b"\xff\xfe", b"\0" * 50, b"NaN", b"{", b"", b"1" * 5000, line[:-1] * 2))
    if draw.random() < 0.3:
        return draw.choice((json.dumps(odd).encode(), plain)) + b"\n"
    fields = json.loads(line)
    key = draw.choice(sorted(fields))
    match draw.randrange(4):
        case 0:
            del fields[key]
        case 1:
            fields[key] = odd
        case 2 if fields.get("cells"):
            cell = draw.choice(fields["cells"])
            cell[draw.randrange(3)] = draw.choice((odd, -1, 99, cell[2] + 1))
        case _:
            fields[draw.choice(("more", key))] = 0
    return json.dumps(fields).encode() + b"\n"
