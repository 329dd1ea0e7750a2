"""The output of `semask eval`: progress on stderr, figures on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from semask_cli.cli.printing import print_table
from semask_cli.output.percentages import format_interval, format_percent

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from semask_cli.datasets import Dataset
    from semask_cli.evaluation.boundaries import SizeRecall
    from semask_cli.evaluation.intervals import Interval, Intervals
    from semask_cli.evaluation.records import Record
    from semask_cli.evaluation.results import Evaluation
    from semask_cli.evaluation.runner import Plan

_LINE_EVERY = 30  # seconds, where stderr is a file


class EvaluationProgress:
    """Shows progress on stderr: a bar on a terminal, otherwise a line every half minute.

    It shows the images done, the mIoU so far and the time left; of several processes, the first one shows all.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True)
        columns = (TextColumn("evaluating"), BarColumn(), TextColumn("{task.fields[state]}"))
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", state="")

    def __enter__(self) -> EvaluationProgress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def started(self, plan: Plan) -> None:
        """Print the journal's folder, and show an empty bar."""
        import numpy as np

        self._plan = plan
        self._classes, self._images = len(plan.dataset.classes), len(plan.selection.samples)
        self._total = np.zeros((self._classes, self._classes + 1), np.int64)
        if plan.world.rank > 0:
            self._bar.disable = True
            return
        print(f"journal: {plan.journal}", file=sys.stderr)
        self._bar.update(self._task, total=self._images)
        self._bar.start()

    def resumed(self, records: Sequence[Record], remaining: int) -> None:
        """Print how many images are done already, and start the clock."""
        for record in records:
            self._total += record.counts(self._classes)
        if records and self._plan.world.rank == 0:
            print(f"{len(records)} of {self._images} images are already in the journal", file=sys.stderr)
        self._begun, self._remaining_then = time.monotonic(), remaining
        self._line_at = self._begun + _LINE_EVERY

    def damaged(self, lines: int) -> None:
        """Warn of damaged lines in the journal."""
        if self._plan.world.rank == 0:
            print(f"damaged lines in the journal: {lines}; their images are evaluated again", file=sys.stderr)

    def counted(self, record: Record, remaining: int) -> None:
        """Show one more image."""
        from semask_cli.evaluation.metrics import class_totals, metrics

        self._total += record.counts(self._classes)
        now = time.monotonic()
        done = self._images - remaining
        seconds = round((now - self._begun) / (self._remaining_then - remaining) * remaining)
        miou = metrics(class_totals(self._total), self._plan.definition).miou
        state = f"{done} of {self._images}  mIoU {miou:.2f} so far  {timedelta(seconds=seconds)} left"
        self._bar.update(self._task, completed=done, state=state)
        if self._plan.world.rank == 0 and self._bar.disable and now > self._line_at:
            print(state, file=sys.stderr, flush=True)
            self._line_at = now + _LINE_EVERY


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the classes, then the main figures."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if evaluation.miou is None:
        console.print(Text(f"{evaluation.title}: no pixel is labelled: there is nothing to measure", "yellow"))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("index", "class", "IoU", "", "acc"):
        table.add_column(column, justify="left" if column == "class" else "right")
    table.add_column("")
    for result in evaluation.classes:
        bar = Text("━" * round((result.iou or 0) / 4), "cyan")
        name = Text.assemble(("█ ", result.colour), result.name)
        figures = format_percent(result.iou), _bounds(result.interval), format_percent(result.acc)
        table.add_row(str(result.index), name, *figures, bar, style="dim" if result.iou is None else "")
    print_table(table)
    if evaluation.left_out:
        console.print(Text(f"left out of the mean: {', '.join(evaluation.left_out)}", "dim"), soft_wrap=True)
    console.print()
    _print_headline(evaluation, console)


def _print_headline(evaluation: Evaluation, console: Console) -> None:
    from rich.text import Text

    from semask_cli.evaluation.metrics import DEFINITIONS

    e = evaluation
    split = f"{e.dataset} {e.split}".strip()
    console.print(Text.assemble((e.title, "bold"), f" on {split}, {e.images} images"), soft_wrap=True)
    if e.partial:
        console.print(
            Text(f"partial: {e.partial}; not comparable with published figures", "bold yellow"), soft_wrap=True
        )
    compared = f"   published {format_percent(e.published)}, {e.difference:+.2f}" if e.difference is not None else ""
    bounds = {name: _bounds(getattr(e.intervals, name, None)) for name in ("miou", "macc", "aacc", "fwiou")}
    console.print(Text.assemble(("mIoU ", "bold"), (format_percent(e.miou), "bold green"), bounds["miou"], compared))
    means = {"mAcc": (e.macc, "macc"), "aAcc": (e.aacc, "aacc"), "fwIoU": (e.fwiou, "fwiou")}
    shown = (f"{name} {format_percent(value)}{bounds[key]}" for name, (value, key) in means.items())
    console.print(Text("   ".join(shown)), soft_wrap=True)
    console.print(Text(_how_drawn(e.intervals), "dim"), soft_wrap=True)
    if scores := e.cityscapes:
        console.print(
            f"categories: IoU {format_percent(scores.category_iou)}, iIoU {format_percent(scores.category_iiou)}   "
            f"classes: iIoU {format_percent(scores.iiou)}",
            soft_wrap=True,
        )
    console.print(
        f"images weighted equally: mIoU by image {format_percent(e.fine_grained.miou_by_image)}, "
        f"by class {format_percent(e.fine_grained.miou_by_class)}, "
        f"of the worst 5 % of images {format_percent(e.fine_grained.worst_by_image['5'])}",
        soft_wrap=True,
    )
    if e.boundaries and e.objects:
        found = f"objects found: {_found(e.objects)}"
        console.print(f"Boundary IoU {format_percent(e.boundaries.miou)}   {found}", soft_wrap=True)
    if c := e.calibration:
        console.print(f"calibration error {format_percent(c.ece)}, risk-coverage area {format_percent(c.aurc)}")
        console.print(Text(f"scores: {c.score}", "dim"), soft_wrap=True)
    console.print(Text(DEFINITIONS[e.definition], "dim"), soft_wrap=True)
    for name, miou in e.miou_by_definition.items():
        if miou == e.miou:
            continue
        console.print(Text(f"in {name}'s definition mIoU is {format_percent(miou)}", "dim"))


def _found(objects: Sequence[SizeRecall]) -> str:
    return ", ".join(f"{row.size} {format_percent(row.found)} % of {row.objects:,}" for row in objects if row.objects)


def _bounds(interval: Interval | None) -> str:
    return f" {format_interval(interval.low, interval.high)}" if interval else ""


def _how_drawn(intervals: Intervals | None) -> str:
    if intervals is None:
        return "no intervals: too few independent images"
    i = intervals
    resamples = f"{i.resamples:,} resamples of {i.clusters:,} {i.unit}s"
    return f"in brackets: {i.confidence:g} % intervals, {i.method}, {resamples}"


def verify_result(path: Path, *, journal: Path | None, dataset: Dataset | None) -> None:
    """Print the checks of the evaluation in `path`.

    Raises:
        VerificationError: a check fails.
    """
    from rich.console import Console
    from rich.text import Text

    from semask_cli.errors import VerificationError
    from semask_cli.evaluation.verify import verify

    console = Console(highlight=False)
    checks = verify(path, journal=journal, dataset=dataset)
    words = {True: ("holds", "green"), False: ("does not hold", "bold red"), None: ("unknown", "yellow")}
    for check in checks:
        console.print(Text.assemble(words[check.holds], f"  {check.name}: {check.found}"), soft_wrap=True)
    if any(check.holds is False for check in checks):
        raise VerificationError(f"{path} does not hold", "Its figures do not match this journal or these files.")
