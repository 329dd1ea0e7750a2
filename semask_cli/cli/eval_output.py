"""What an evaluation shows: progress on stderr while it runs, figures on stdout when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from semask_cli.datasets import Dataset
    from semask_cli.evaluation.journal import Record
    from semask_cli.evaluation.processes import Team
    from semask_cli.evaluation.results import Evaluation
    from semask_cli.evaluation.selection import Selection

_LINE_EVERY = 30  # seconds, where stderr is a file


class Watcher:
    """An observer that shows progress on stderr: a bar on a terminal, else a line now and then.

    It shows images done, the mIoU so far and the time left. Of several processes the first one tells what it knows:
    its own images, and those in the journal.
    """

    def __init__(self, dataset: Dataset, selection: Selection, definition: str, *, team: Team) -> None:
        import numpy as np
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._classes, self._definition = len(dataset.classes), definition
        self._samples, self._team = len(selection.samples), team
        self._total = np.zeros((self._classes, self._classes + 1), np.int64)
        console = Console(stderr=True)
        self._shown = team.rank == 0 and console.is_terminal
        columns = (TextColumn("evaluating"), BarColumn(), TextColumn("{task.fields[state]}"))
        self._bar = Progress(*columns, console=console, transient=True, disable=not self._shown)
        self._task = self._bar.add_task("", total=self._samples, state="")

    def __enter__(self) -> Watcher:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def resumed(self, records: Sequence[Record], left: int) -> None:
        """Say how much is done already, and start the clock."""
        for record in records:
            self._total += record.counts(self._classes)
        if records and self._team.rank == 0:
            print(f"{len(records)} of {self._samples} images are in the journal already", file=sys.stderr)
        self._begun, self._first_left, self._line_at = time.monotonic(), left, time.monotonic() + _LINE_EVERY

    def counted(self, record: Record, left: int) -> None:
        """Show an image more."""
        from semask_cli.evaluation.metrics import metrics

        self._total += record.counts(self._classes)
        now = time.monotonic()
        done = max(0, self._samples - left * self._team.size)
        seconds = round((now - self._begun) / (self._first_left - left) * left)
        miou = metrics(self._total, self._definition).miou
        state = f"{done} of {self._samples}  mIoU {miou:.2f} so far  {timedelta(seconds=seconds)} left"
        self._bar.update(self._task, completed=done, state=state)
        if self._team.rank == 0 and not self._shown and now > self._line_at:
            print(state, file=sys.stderr, flush=True)
            self._line_at = now + _LINE_EVERY


def print_evaluation(evaluation: Evaluation) -> None:
    """The classes, then the headline figures."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if evaluation.miou is None:
        console.print(Text(f"{evaluation.title}: no pixel is labelled, so there is nothing to measure", "yellow"))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("index", "class", "IoU", "acc"):
        table.add_column(column, justify="left" if column == "class" else "right")
    table.add_column("")
    for each in evaluation.classes:
        bar = "━" * round((each.iou or 0) / 4)
        name = Text.assemble(("█ ", each.colour), each.name)
        style = "dim" if each.iou is None else ""
        table.add_row(str(each.index), name, percent(each.iou), percent(each.acc), Text(bar, "cyan"), style=style)
    console.print(table)
    if evaluation.left_out:
        console.print(Text(f"left out of the mean: {', '.join(evaluation.left_out)}", "dim"))
    console.print()
    _print_headline(evaluation, console)


def _print_headline(evaluation: Evaluation, console: Console) -> None:
    from rich.text import Text

    from semask_cli.evaluation.metrics import DEFINITIONS

    e = evaluation
    where = f"{e.dataset} {e.split}".strip()
    console.print(Text.assemble((e.title, "bold"), f" on {where}, {e.images} images"), soft_wrap=True)
    if e.partial:
        console.print(
            Text(f"partial: {e.partial}; not comparable with published figures", "bold yellow"), soft_wrap=True
        )
    compared = f"   published {percent(e.published)}, {e.difference:+.2f}" if e.difference is not None else ""
    console.print(Text.assemble(("mIoU ", "bold"), (percent(e.miou), "bold green"), compared))
    console.print(f"mAcc {percent(e.macc)}   aAcc {percent(e.aacc)}   fwIoU {percent(e.fwiou)}")
    if own := e.cityscapes:
        console.print(
            f"categories: IoU {percent(own.category_iou)}, iIoU {percent(own.category_iiou)}   "
            f"classes: iIoU {percent(own.iiou)}"
        )
    console.print(Text(DEFINITIONS[e.definition], "dim"), soft_wrap=True)
    others = {name: miou for name, miou in e.miou_by_definition.items() if miou != e.miou}
    for name, miou in others.items():
        console.print(Text(f"in {name}'s definition mIoU is {percent(miou)}", "dim"))


def percent(value: float | None) -> str:
    """A figure as it is published, with two decimals."""
    return "–" if value is None else f"{value:.2f}"
