"""The batch callable for cluster engines: a picklable class, rows in, rows out, errors as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from semask_cli.distributed.answers import Answer, Outputs
from semask_cli.errors import ImageError, SemaskError, UsageError
from semask_cli.inference.segmenter import Segmenter
from semask_cli.io.images import MAX_PIXELS, ImageSource
from semask_cli.io.storage import image_source, place
from semask_cli.output.kinds import Kind
from semask_cli.output.segmentation import Segmentation

Rows = Mapping[str, Sequence[Any]]
"""Columns of equal length: lists, tuples or arrays."""


class SegmentBatch:
    """Segments the images of a batch of rows. The model is loaded with the first batch.

        batch = SegmentBatch("swin-l-m2f", device="cuda")
        batch({"id": ["one"], "path": ["photos/one.jpg"]})

    Rows have an `id` (text), and a `path` or the encoded image as `bytes`. The result has a row for each, in order:
    `id`, `width`, `height`, `mask` (a palette PNG as bytes, or the kinds in `save`), `classes` (index, name, pixels,
    share, mean_confidence), `error` (kind, message, suggestion) and `milliseconds`. With an `error` all others are None
    or empty; no image makes the call fail.

    Args:
        model: a model of the zoo, as for `semask_cli.load`.
        save: the kinds of output, one column each.
        opacity: of colours over the image, as for `Segmentation.save`.
        tolerance: of outlines in pixels, likewise.
        top: number of best classes per pixel in "scores".
        max_pixels: images with more pixels are errors.
        threads: CPU threads of this process; by default all cores.
        options: as for `semask_cli.load`.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        save: Sequence[Kind] = ("mask",),
        opacity: float = 0.5,
        tolerance: float = 0,
        top: int = 5,
        max_pixels: int = MAX_PIXELS,
        threads: int | None = None,
        **options: Any,
    ) -> None:
        self.outputs = Outputs(kinds=tuple(save), opacity=opacity, tolerance=tolerance, top=top)
        self._model, self._options, self._threads, self._max_pixels = model, options, threads, max_pixels

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "segmenter"}

    @cached_property
    def segmenter(self) -> Segmenter:
        """The model, loaded.

        Raises:
            SemaskError: as `semask_cli.load`.
        """
        import torch

        from semask_cli.api import load

        if self._threads:
            torch.set_num_threads(self._threads)
        return load(self._model, **self._options)

    @property
    def settings(self) -> dict[str, Any]:
        """All that a result depends on, besides the image, as JSON values."""
        return {**self.segmenter.settings, **self.outputs.settings}

    def __call__(self, rows: Rows) -> dict[str, list[Any]]:
        """The results of the rows, by column.

        Raises:
            UsageError: a column is missing.
            SemaskError: the model cannot be loaded.
        """

        def finish(item: _Item, result: Segmentation | SemaskError) -> dict[str, Any]:
            return {"id": item.id, **Answer.of(result, self.outputs, name=item.path or item.id).to_row()}

        results = self.segmenter.process(
            _items(rows),
            open_item=_Item.open,
            finish=finish,
            keep=self.outputs.keep,
            max_pixels=self._max_pixels,
        )
        columns: dict[str, list[Any]] = {name: [] for name in self.columns}
        for result in results:
            for name, column in columns.items():
                column.append(result.get(name))
        return columns

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the result's columns."""
        return ("id", "width", "height", *self.outputs.kinds, "classes", "error", "milliseconds")


@dataclass(frozen=True, slots=True)
class _Item:
    id: str
    path: str | None
    content: Any

    def open(self) -> ImageSource:
        if self.content is not None:
            try:
                return bytes(memoryview(self.content))
            except TypeError as error:
                raise ImageError(f"the bytes of the row {self.id} are {type(self.content).__name__}") from error
        if self.path is None:
            raise UsageError(f"the row {self.id} has neither a path nor bytes")
        return image_source(place(self.path))


def _items(rows: Rows) -> Iterator[_Item]:
    if "id" not in rows or not ("path" in rows or "bytes" in rows):
        raise UsageError("rows need the columns id, and path or bytes", f"These have {', '.join(rows)}.")
    nothing = [None] * len(rows["id"])
    for id, path, content in zip(rows["id"], rows.get("path", nothing), rows.get("bytes", nothing), strict=True):
        yield _Item(str(id), None if path is None else str(path), content)
