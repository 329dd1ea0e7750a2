"""A model on a Ray cluster: predictions are counted where they are made, and only the counts are sent back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semask_cli.datasets import Sample
from semask_cli.distributed.answers import as_text, error_of, error_row
from semask_cli.distributed.parts import error_type
from semask_cli.distributed.segment_batch import SegmentBatch
from semask_cli.errors import SemaskError
from semask_cli.evaluation.counting import Counted, Counting
from semask_cli.evaluation.journal import Settings
from semask_cli.evaluation.sources import JournalSource, ModelSource
from semask_cli.inference.config import LABELS_ALONE, Keep
from semask_cli.inference.segmenter import Segmenter
from semask_cli.io.source_states import SourceStates
from semask_cli.io.storage import absolute
from semask_cli.output.segmentation import Segmentation
from semask_cli.zoo import ModelSpec

if TYPE_CHECKING:
    from semask_cli.ray import ClusterModel


class ClusterSource(JournalSource):
    """The model of `spec` on the Ray cluster that this process has joined.

    Raises:
        SemaskError: it cannot be loaded there.
    """

    def __init__(self, spec: ModelSpec, model: ClusterModel) -> None:
        self._model = model
        super().__init__(spec, model.ask(_settings), _not_here)

    def counted(self, samples: Iterable[Sample], counting: Counting) -> Iterator[Counted]:
        """The counts of each sample, in order.

        Raises:
            SemaskError: an image or label cannot be read; samples before it have been given.
        """
        rows = [{"id": sample.id, **{name: _absolute(getattr(sample, name)) for name in _FILES}} for sample in samples]
        for row in self._model.map(rows, CountBatch, counting=counting):
            if row["error"]:
                raise error_of(row["error"])
            yield Counted.of_message(row["counted"], classes=len(counting.classes))

    def labels(self, samples: Iterable[Sample]) -> Iterator[NDArray[np.uint8]]:
        rows = [{"id": as_text(sample.id), "path": absolute(sample.image)} for sample in samples]
        for row in self._model.segmented(rows, save=("index",)):
            if row["error"]:
                raise error_of(row["error"])
            yield np.asarray(Image.open(io.BytesIO(row["index"])))


class CountBatch(SegmentBatch):
    """Predicts and counts a batch of samples: rows of `id` and files to rows of `counted` and `error`."""

    def __init__(self, model: str | None = None, *, counting: Counting, **options: Any) -> None:
        super().__init__(model, **options)
        self._counting = counting

    def __call__(self, rows: Mapping[str, Sequence[Any]]) -> Any:
        """The results as an Arrow table, whose columns have types even if they are empty."""
        import pyarrow

        counting = self._counting
        states = SourceStates()

        def open_item(sample: Sample) -> Path:
            states.record(sample.id, sample.image)
            return sample.image

        def finish(sample: Sample, result: Segmentation | SemaskError) -> dict[str, Any]:
            try:
                if isinstance(result, SemaskError):
                    raise result
                counted = counting.count(
                    sample,
                    result.labels,
                    result.confidence,
                    file=sample.image,
                    read_state=states.take(sample.id),
                )
                return {"counted": counted.to_message(), "error": None}
            except SemaskError as error:
                return {"counted": None, "error": error_row(error)}

        results = self.segmenter.process(
            _samples(rows),
            open_item=open_item,
            finish=finish,
            keep=Keep(confidence=True) if counting.calibration else LABELS_ALONE,
        )
        schema = pyarrow.schema([("counted", pyarrow.large_binary()), ("error", error_type())])
        return pyarrow.Table.from_pylist(list(results), schema=schema)


_FILES = ("image", "label", "instances")


def _absolute(path: Path | None) -> str:
    return absolute(path) if path else ""


def _samples(rows: Mapping[str, Sequence[Any]]) -> Iterator[Sample]:
    for id, image, *others in zip(*(rows[name] for name in ("id", *_FILES)), strict=True):
        label, instances = (Path(str(name)) if name else None for name in others)
        yield Sample(id=str(id), image=Path(str(image)), label=label, instances=instances)


def _not_here() -> Segmenter:
    raise AssertionError("the model is on the cluster")


def _settings(segmenter: Segmenter) -> Settings:
    source = ModelSource(segmenter.spec, lambda: segmenter)
    return {**source.settings, "calibration": source.score}
