"""Several evaluations of one dataset beside each other."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from semask_cli.errors import UsageError
from semask_cli.evaluation.metrics import DEFINITIONS
from semask_cli.evaluation.pages import encoded, render_page
from semask_cli.evaluation.reading import read_evaluation
from semask_cli.evaluation.report import flat
from semask_cli.evaluation.results import Evaluation
from semask_cli.io.files import write_atomically
from semask_cli.io.overwriting import refuse_replacing

_IMAGES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A thing measured in every run, in percent; None where a run has no figure. `spread` is largest minus smallest."""

    name: str
    figures: tuple[float | None, ...]
    spread: float
    colour: str = ""
    label_pixels: int = 0

    @property
    def best(self) -> float | None:
        """The largest figure."""
        return max((figure for figure in self.figures if figure is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Runs by name, their mIoU in the first run's `definition`, and how they differ.

    `classes` are in the dataset's order, `images` (those that all runs have) by spread, largest first. `settings` are
    those that differ. `cautions` say in words why figures may not be comparable. `files` are those that were read.
    """

    names: tuple[str, ...]
    runs: tuple[Evaluation, ...]
    definition: str
    mious: tuple[float | None, ...]
    classes: tuple[Row, ...]
    images: tuple[Row, ...]
    settings: tuple[tuple[str, tuple[str, ...]], ...]
    cautions: tuple[str, ...]
    files: tuple[Path, ...] = ()

    @property
    def differences(self) -> tuple[float | None, ...]:
        """mIoU of each run minus that of the first, in points."""
        first = self.mious[0]
        return tuple(None if miou is None or first is None else miou - first for miou in self.mious)

    def to_json(self) -> dict[str, Any]:
        """The document for json.dumps, without the runs' own tables."""
        runs = [
            {
                "name": name,
                "miou": miou,
                "difference": difference,
                "macc": run.macc,
                "aacc": run.aacc,
                "fwiou": run.fwiou,
            }
            for name, run, miou, difference in zip(self.names, self.runs, self.mious, self.differences, strict=True)
        ]
        return {
            "schema_version": 1,
            "kind": "comparison",
            "dataset": self.runs[0].dataset,
            "split": self.runs[0].split,
            "definition": self.definition,
            "cautions": self.cautions,
            "runs": runs,
            "classes": [asdict(row) for row in self.classes],
            "pictures": [asdict(row) for row in self.images],
            "settings": dict(self.settings),
        }


def compare(paths: Sequence[str | os.PathLike[str]]) -> Comparison:
    """Set evaluations of one dataset and split beside each other.

    `paths` are the JSON files of evaluations, or folders that hold a report. Runs are named by their titles, or by
    title and path where titles repeat.

    Raises:
        UsageError: fewer than two, a file that is no evaluation, or runs of different datasets, splits or classes.
    """
    runs = [Path(path) for path in paths]
    return replace(_comparison(_read_runs(runs)), files=tuple(map(_file, runs)))


def _file(path: Path) -> Path:
    return path / "evaluation.json" if os.path.isdir(path) else path


def _read_runs(paths: Sequence[Path]) -> dict[str, Evaluation]:
    if len(set(paths)) < 2:
        raise UsageError(
            "name two evaluations or more", "They are what semask eval --json printed, or --report folders."
        )
    runs = {path: read_evaluation(_file(path)) for path in paths}
    titles = Counter(run.title for run in runs.values())
    return {run.title if titles[run.title] == 1 else f"{run.title} ({path})": run for path, run in runs.items()}


def _comparison(runs: dict[str, Evaluation]) -> Comparison:
    evaluations = tuple(runs.values())
    first, names = evaluations[0], tuple(runs)
    for name, other in runs.items():
        if _measured(other) != _measured(first):
            raise UsageError(
                f"{name} is of {other.dataset} {other.split}, {names[0]} of {first.dataset} {first.split}",
                "Only evaluations of the same split and classes compare.",
            )
    return Comparison(
        names=names,
        runs=evaluations,
        definition=first.definition,
        mious=tuple(run.miou_by_definition[first.definition] for run in evaluations),
        classes=tuple(
            _row(same[0].name, [c.iou for c in same], colour=same[0].colour, label_pixels=same[0].label_pixels)
            for same in zip(*(run.classes for run in evaluations), strict=True)
        ),
        images=_images(evaluations),
        settings=_differing(evaluations),
        cautions=tuple(_cautions(runs)),
    )


def write_comparison(folder: Path, comparison: Comparison) -> Path:
    """Write comparison.html and comparison.json to `folder`; the page's path.

    Raises:
        OutputError: a file cannot be written, or would replace one of those compared.
    """
    document = json.dumps(comparison.to_json(), ensure_ascii=False, indent=1) + "\n"
    figures, page = folder / "comparison.json", folder / "comparison.html"
    refuse_replacing((figures, page), comparison.files)
    write_atomically(figures, encoded(document))
    write_atomically(page, encoded(comparison_page(comparison)))
    return page


def comparison_page(comparison: Comparison) -> str:
    """The page, as HTML."""
    return render_page("compare.html.j2", c=comparison, definition=DEFINITIONS[comparison.definition])


def _measured(run: Evaluation) -> tuple[str, str, tuple[str, ...]]:
    return run.dataset, run.split, tuple(result.name for result in run.classes)


def _row(name: str, figures: Sequence[float | None], *, colour: str = "", label_pixels: int = 0) -> Row:
    measured = [figure for figure in figures if figure is not None]
    spread = max(measured) - min(measured) if measured else 0.0
    return Row(name=name, figures=tuple(figures), spread=spread, colour=colour, label_pixels=label_pixels)


def _images(runs: Sequence[Evaluation]) -> tuple[Row, ...]:
    mious = [{result.id: result.miou for result in run.image_results} for run in runs]
    shared = set.intersection(*map(set, mious))
    rows = [_row(key, [miou[key] for miou in mious]) for key in shared]
    return tuple(sorted(rows, key=lambda row: (-row.spread, row.name))[:_IMAGES])


def _differing(runs: Sequence[Evaluation]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    tables = [dict(flat(run.settings)) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = [(key, tuple(table.get(key, "–") for table in tables)) for key in keys]
    return tuple((key, values) for key, values in rows if len(set(values)) > 1)


def _cautions(runs: dict[str, Evaluation]) -> list[str]:
    first = next(iter(runs.values()))
    cautions = [f"{name} is partial: {run.partial}." for name, run in runs.items() if run.partial]
    if len({frozenset(result.id for result in run.image_results) for run in runs.values()}) > 1:
        cautions.append("The runs are of different images.")
    if any(run.definition != first.definition for run in runs.values()):
        cautions.append(f"The runs were evaluated in different definitions; mIoU is given in {first.definition}'s.")
    return cautions
