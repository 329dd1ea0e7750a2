"""Images -> files by one process: those not yet done, in order, each recorded when its files are written."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from semask_cli.distributed.answers import Answer, Outputs
from semask_cli.distributed.parts import Parts
from semask_cli.distributed.run_journal import RunJournal
from semask_cli.distributed.table import join
from semask_cli.errors import OutputError, SemaskError
from semask_cli.inference.segmenter import Segmenter
from semask_cli.io.images import ImageSource
from semask_cli.io.source_states import SourceStates
from semask_cli.io.storage import Place, image_source, write
from semask_cli.output.paths import Task
from semask_cli.output.segmentation import Segmentation

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An image whose files are written; `document` is the JSON of its segmentation, if requested."""

    task: Task
    answer: Answer
    document: dict[str, Any] | None = None


class Run:
    """Selects the `tasks` that are not done, and writes their results, whichever process computes them.

    With `parts` results are collected there, otherwise each image has its own files. `alone` says that there is one
    image in all shards. `images` counts all tasks so far, `done_before` those that the `journal` has.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        *,
        alone: bool = False,
        journal: RunJournal | None = None,
        parts: Parts | None = None,
    ) -> None:
        self._tasks, self.alone, self._journal, self.parts = tasks, alone, journal, parts
        self.images = self.done_before = 0
        self._states = SourceStates()

    def pending(self) -> Iterator[Task]:
        """The tasks that are not done yet."""
        for task in self._tasks:
            self.images += 1
            source = task.entry.path
            files = () if self.parts else task.files.values()
            if self._journal and source and self._journal.is_done(task.entry.id, source, files):
                self.done_before += 1
            else:
                yield task

    def reading(self, task: Task) -> None:
        """Record that the image is about to be read: if it changes from now on, it is not done; for several threads."""
        if task.entry.path:
            self._states.record(task.entry.id, task.entry.path)

    def write(self, task: Task, answer: Answer) -> Answer:
        """Write and record the results of an image; returns the answer. Thread-safe.

        A failure to write becomes the error of the answer.

        Raises:
            OutputError: the disk is full, so that nothing else could be written, or the journal cannot be written.
        """
        source = self._states.take(task.entry.id)
        if self.parts:
            if not task.error:  # else the row is another image's
                self.parts.add(task, answer, source)
            return answer
        try:
            for kind, content in answer.files.items():
                write(task.files[kind], content)
        except OutputError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:
                raise
            answer = Answer(error=error)
        if self._journal and task.entry.path:
            self._journal.note(task.entry.id, source, task.files.values(), error=answer.error)
        return answer

    def close(self) -> None:
        """Write what has been collected, also after an error.

        Raises:
            OutputError: it cannot be written.
        """
        if self.parts:
            self.parts.close()
        if self._journal:
            self._journal.close()

    def join(self, table: Place) -> None:
        """Join all parts of the closed run into one file.

        Raises:
            OutputError: it cannot be written.
        """
        assert self._journal
        join(table, self._journal.parts(), prefix=self._journal.part_prefix)


def segment_here(
    run: Run,
    segmenter: Segmenter,
    outputs: Outputs,
    *,
    open_stdin: Callable[[], ImageSource],
    max_pixels: int,
    documents: bool = False,
) -> Generator[Outcome, None, None]:
    """The outcomes of a run in this process, in order.

    `open_stdin` opens the input "-"; `documents` requests the JSON of each segmentation.
    """

    def open_item(task: Task) -> ImageSource:
        if task.error:
            raise task.error
        run.reading(task)
        return image_source(task.entry.path) if task.entry.path else open_stdin()

    def finish(task: Task, result: Segmentation | SemaskError) -> Outcome:
        answer = run.write(task, Answer.of(result, outputs, name=task.entry.name))
        document = result.to_json() if documents and isinstance(result, Segmentation) else None
        return Outcome(task=task, answer=replace(answer, files={}), document=document)

    outcomes = segmenter.process(
        run.pending(),
        open_item=open_item,
        finish=finish,
        keep=replace(outputs.keep, confidence=True) if documents else outputs.keep,
        max_pixels=max_pixels,
        alone=run.alone,
    )
    with closing(outcomes):
        yield from outcomes
