"""Comparison of several evaluations of one dataset."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from semask_cli.datasets import Dataset
from semask_cli.errors import UsageError
from semask_cli.evaluation.comparable import cautions, refuse_other_labels
from semask_cli.evaluation.differences import RunDifference, run_difference
from semask_cli.evaluation.metrics import DEFINITIONS, class_totals, metrics
from semask_cli.evaluation.pages import encoded, render_page
from semask_cli.evaluation.reading import evaluation_file, read_evaluation
from semask_cli.evaluation.report import flat
from semask_cli.evaluation.results import Evaluation, document_text
from semask_cli.evaluation.side_by_side import side_by_side
from semask_cli.evaluation.summary import number
from semask_cli.io.files import write_atomically
from semask_cli.io.overwriting import refuse_replacing

SCHEMA_VERSION = 2
_IMAGES = 30
_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure of every run, in percent, None if a run has none. `spread` is the largest minus the smallest."""

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
    """Runs by name, their mIoU in the baseline's `definition`, and how they differ from it.

    `baseline` is one of `names`, and `differences` are those of the others from it, in their order. `classes` are in
    the dataset's order, `images` (those that all runs have) by spread, largest first. `settings` are those that differ.
    `cautions` say in words why figures may not be comparable. `files` are those that were read.
    """

    names: tuple[str, ...]
    runs: tuple[Evaluation, ...]
    baseline: str
    definition: str
    mious: tuple[float | None, ...]
    differences: tuple[RunDifference, ...]
    classes: tuple[Row, ...]
    images: tuple[Row, ...]
    settings: tuple[tuple[str, tuple[str, ...]], ...]
    cautions: tuple[str, ...]
    files: tuple[Path, ...] = ()

    def difference(self, name: str) -> RunDifference | None:
        """How the run called `name` differs from the baseline; None for the baseline."""
        return next((difference for difference in self.differences if difference.run == name), None)

    def to_json(self) -> dict[str, Any]:
        """The document for json.dumps, without the runs' own tables."""
        runs = [
            {"name": name, "miou": miou, "macc": run.macc, "aacc": run.aacc, "fwiou": run.fwiou}
            for name, run, miou in zip(self.names, self.runs, self.mious, strict=True)
        ]
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "comparison",
            "dataset": self.runs[0].dataset,
            "split": self.runs[0].split,
            "definition": self.definition,
            "cautions": self.cautions,
            "baseline": self.baseline,
            "runs": runs,
            "differences": [asdict(difference) for difference in self.differences],
            "classes": [asdict(row) for row in self.classes],
            "pictures": [asdict(row) for row in self.images],
            "settings": dict(self.settings),
        }


def compare(paths: Sequence[str | os.PathLike[str]], *, baseline: str | os.PathLike[str] | None = None) -> Comparison:
    """Compare evaluations of one dataset and split, and find which differences are significant.

    `paths` are the JSON files of evaluations, or folders of reports; repeated ones are skipped. Runs are named by their
    titles, with the path if titles repeat. The others are compared with `baseline`, one of `paths` (by default the
    first), in its definition of mIoU.

    Raises:
        UsageError: fewer than two, a file that is not an evaluation, a baseline that is none of them, or runs on
            different labels: of other datasets, splits, classes, or label files.
    """
    if isinstance(paths, str | os.PathLike):
        raise UsageError(f"compare takes several evaluations, not only {paths}", "Give a list.")
    runs = list(dict.fromkeys(map(Path, paths)))
    first = runs[0] if baseline is None and runs else Path(baseline or "")
    if runs and first not in runs:
        raise UsageError(f"the baseline {first} is not one of the evaluations", "Name one of them.")
    return replace(
        _comparison(_read_runs(runs), runs.index(first) if runs else 0), files=tuple(map(evaluation_file, runs))
    )


def _read_runs(paths: Sequence[Path]) -> dict[str, Evaluation]:
    if len(paths) < 2:
        raise UsageError("name two evaluations or more", "Give outputs of semask eval --json, or --report folders.")
    runs = {path: read_evaluation(path) for path in paths}
    titles = Counter(run.title for run in runs.values())
    return {run.title if titles[run.title] == 1 else f"{run.title} ({path})": run for path, run in runs.items()}


def _comparison(runs: dict[str, Evaluation], baseline: int) -> Comparison:
    evaluations, names = tuple(runs.values()), tuple(runs)
    first, first_name = evaluations[baseline], names[baseline]
    others = {name: run for name, run in runs.items() if name != first_name}
    for name, other in others.items():
        refuse_other_labels((first_name, name), first, other)
    return Comparison(
        names=names,
        runs=evaluations,
        baseline=first_name,
        definition=first.definition,
        mious=tuple(run.miou_by_definition[first.definition] for run in evaluations),
        differences=tuple(
            run_difference((first_name, name), first, other, first.definition) for name, other in others.items()
        ),
        classes=tuple(
            _row(result.name, ious, colour=result.colour, label_pixels=result.label_pixels)
            for result, *ious in zip(first.classes, *(_ious(run, first.definition) for run in evaluations), strict=True)
        ),
        images=_images(evaluations),
        settings=_differing(evaluations),
        cautions=tuple(cautions(runs, first)),
    )


def write_comparison(folder: Path, comparison: Comparison, dataset: Dataset | None = None) -> Path:
    """Write comparison.html and comparison.json to `folder`; returns the page's path.

    With the `dataset` the page shows the images on which the runs differ most, side by side.

    Raises:
        UsageError: with a dataset, a run whose masks are not on this machine (see `evaluation.side_by_side`).
        OutputError: a file cannot be written, or would replace one of those compared.
    """
    figures, page = folder / "comparison.json", folder / "comparison.html"
    refuse_replacing((figures, page), comparison.files)
    shown = comparison_page(comparison, dataset)
    write_atomically(figures, encoded(document_text(comparison.to_json()) + "\n"))
    write_atomically(page, encoded(shown))
    return page


def comparison_page(comparison: Comparison, dataset: Dataset | None = None) -> str:
    """The page, as HTML."""
    runs = dict(zip(comparison.names, comparison.runs, strict=True))
    ids = [row.name for row in comparison.images[:_SHOWN]]
    images = side_by_side(ids, runs, comparison.baseline, dataset) if dataset else ()
    return render_page(
        "compare.html.j2", c=comparison, definition=DEFINITIONS[comparison.definition], images=list(images)
    )


def _ious(run: Evaluation, definition: str) -> list[float | None]:
    """The IoU of each class in `definition`, which may not be the run's own."""
    return [number(iou) for iou in metrics(class_totals(np.array(run.confusion, np.int64)), definition).iou]


def _row(name: str, figures: Sequence[float | None], *, colour: str = "", label_pixels: int = 0) -> Row:
    measured = [figure for figure in figures if figure is not None]
    spread = max(measured) - min(measured) if measured else 0.0
    return Row(name=name, figures=tuple(figures), spread=spread, colour=colour, label_pixels=label_pixels)


def _images(runs: Sequence[Evaluation]) -> tuple[Row, ...]:
    mious = [{result.id: result.miou for result in run.image_results} for run in runs]
    shared = [key for key in set.intersection(*map(set, mious)) if any(miou[key] is not None for miou in mious)]
    rows = [_row(key, [miou[key] for miou in mious]) for key in shared]
    return tuple(sorted(rows, key=lambda row: (-row.spread, row.name))[:_IMAGES])


def _differing(runs: Sequence[Evaluation]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    tables = [dict(flat(run.settings)) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = [(key, tuple(table.get(key, "–") for table in tables)) for key in keys]
    return tuple((key, values) for key, values in rows if len(set(values)) > 1)
