"""How an evaluation reports while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from semask_cli.evaluation.journal import Record
from semask_cli.evaluation.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an evaluation is about to do: `images` of a dataset of `classes`, measured in `definition`.

    `journal` is the folder in which images that are done are recorded; the processes of `world` share the images.
    """

    images: int
    classes: int
    definition: str
    journal: Path
    world: World


class Progress(Protocol):
    """Is told how an evaluation goes on. `remaining` is the number of images that this process has yet to count."""

    def started(self, plan: Plan) -> None:
        """The dataset is sound and the model loaded."""

    def resumed(self, records: Sequence[Record], remaining: int) -> None:
        """These records were in the journal."""

    def counted(self, record: Record, remaining: int) -> None:
        """This process has added a record."""
