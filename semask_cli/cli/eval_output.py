"""What an evaluation shows: progress on stderr while it runs, figures on stdout when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def watching(
    dataset: Dataset, selection: Selection, definition: str, *, team: Team
) -> Iterator[Callable[[Record, int], None]]:
    """A callback for `evaluate`: a bar on a terminal, else a line now and then, with running mIoU and time left.

    Of several processes the first shows what it knows: its own pictures, and those of the journal.
    """
    import numpy as np
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from semask_cli.evaluation.metrics import metrics

    console = Console(stderr=True)
    pictures, classes = len(selection.pictures), len(dataset.classes)
    total = np.zeros((classes, classes + 1), np.int64)
    begun, line_at, first_left = time.monotonic(), time.monotonic() + _LINE_EVERY, 0
    columns = (TextColumn("evaluating"), BarColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=console, transient=True, disable=team.rank > 0 or not console.is_terminal) as bar:
        task = bar.add_task("", total=pictures, state="")

        def on_record(record: Record, left: int) -> None:
            nonlocal total, line_at, first_left
            total += record.counts(classes)
            first_left = max(first_left, left)
            done, now = max(0, pictures - left * team.size), time.monotonic()
            state = f"{done} of {pictures}  mIoU {metrics(total, definition).miou:.2f} so far"
            if left < first_left:
                seconds = (now - begun) / (first_left - left) * left
                state += f"  {timedelta(seconds=round(seconds))} left"
            bar.update(task, completed=done, state=state)
            if team.rank == 0 and not console.is_terminal and now > line_at:
                print(state, file=sys.stderr, flush=True)
                line_at = now + _LINE_EVERY

        yield on_record


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
    console.print(Text.assemble((e.title, "bold"), f" on {where}, {e.pictures} pictures"), soft_wrap=True)
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
