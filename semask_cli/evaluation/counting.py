"""Counting one image, where its prediction is made: only the counts are sent between processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import Sample, read_labels
from semask_cli.datasets.class_set import ClassSet, LabelEncoding
from semask_cli.datasets.labels import read_instance_ids
from semask_cli.errors import DatasetError
from semask_cli.evaluation.boundaries import boundary_counts, object_counts
from semask_cli.evaluation.calibration import confidence_counts, packed
from semask_cli.evaluation.cityscapes import instances
from semask_cli.evaluation.metrics import confusion
from semask_cli.evaluation.records import Instance, Record, labels_digest, nonzero_counts, parsed_record
from semask_cli.evaluation.sources import ModelSource, Source
from semask_cli.io.regular import read_regular
from semask_cli.io.storage import state
from semask_cli.output.render import encode_mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The record of an image, and its predicted mask as a palette PNG, empty if none is requested."""

    record: Record
    mask: bytes

    def to_message(self) -> bytes:
        """As bytes, to be sent between processes."""
        return json.dumps(self.record.to_json()).encode() + b"\n" + self.mask

    @classmethod
    def of_message(cls, message: bytes, *, classes: int) -> Self:
        """The reverse of `to_message`, in the same version of semask."""
        line, _, mask = message.partition(b"\n")
        record = parsed_record(json.loads(line), classes)
        assert record is not None
        return cls(record=record, mask=mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """How images are counted: labels in `encoding`, and the optional figures (see `evaluation.runner.Plan`)."""

    classes: ClassSet
    encoding: LabelEncoding
    boundaries: bool = False
    calibration: bool = False
    masks: bool = False

    def predictions(
        self, source: Source, samples: Iterable[Sample]
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32] | None]]:
        """The predicted labels (H, W) uint8 of each sample, with their scores float32 if calibration needs them."""
        if self.calibration and isinstance(source, ModelSource):
            yield from source.labels_and_scores(samples)
        else:
            for labels in source.labels(samples):
                yield labels, None

    def count(
        self,
        sample: Sample,
        predicted: NDArray[np.uint8],
        scores: NDArray[np.float32] | None,
        *,
        file: Path,
        read_state: str | None,
    ) -> Counted:
        """The counts of one prediction.

        Args:
            sample: the image and its label.
            predicted: class indices, or IGNORE: (H, W) uint8.
            scores: those of the predicted classes, (H, W) float32, where calibration is measured.
            file: what the prediction was made from.
            read_state: the `storage.state` of `file` before it was read.

        Raises:
            DatasetError: the label cannot be read, holds values that are not classes, or has another size; or `file`
                has changed since it was read.
        """
        record = self._record(sample, predicted, scores, file)
        if state(file) != read_state:
            raise DatasetError(
                f"{file} has changed since it was read", "Finished images are kept: start the command again."
            )
        return Counted(record=record, mask=self._mask(predicted) if self.masks else b"")

    def _record(
        self, sample: Sample, predicted: NDArray[np.uint8], scores: NDArray[np.float32] | None, file: Path
    ) -> Record:
        image, digest, files = digest_of_files(sample.image), labels_digest(predicted), files_digest(sample, file)
        if sample.label is None:  # predicted only for a submission
            return Record(id=sample.id, files=files, image=image, labels="", predicted=digest, nonzero_counts=())
        labels = read_labels(sample.label, self.encoding)
        if labels.shape != predicted.shape:
            sizes = [f"{width} x {height}" for height, width in (labels.shape, predicted.shape)]
            raise DatasetError(
                f"{sample.label} is {sizes[0]}, but its prediction is {sizes[1]}",
                "Predictions are never resized: give them the size of the label.",
            )
        return Record(
            id=sample.id,
            files=files,
            image=image,
            labels=labels_digest(labels),
            predicted=digest,
            nonzero_counts=nonzero_counts(confusion(labels, predicted, len(self.classes))),
            instances=self._instances(sample, predicted),
            boundaries=boundary_counts(labels, predicted) if self.boundaries else (),
            objects=object_counts(labels, predicted) if self.boundaries else (),
            confidence="" if scores is None else packed(confidence_counts(labels, predicted, scores)),
        )

    def _instances(self, sample: Sample, predicted: NDArray[np.uint8]) -> tuple[Instance, ...]:
        if sample.instances is None:
            return ()
        height, width = predicted.shape
        ids = read_instance_ids(sample.instances, self.classes.instance_encoding, (height, width))
        return instances(ids, predicted, self.classes)

    def _mask(self, predicted: NDArray[np.uint8]) -> bytes:
        return encode_mask(predicted, self.classes.palette, dataset=self.classes.name, classes=self.classes.classes)


@runtime_checkable
class CountedElsewhere(Protocol):
    """A source whose predictions are counted where they are made."""

    def counted(self, samples: Iterable[Sample], counting: Counting) -> Iterator[Counted]:
        """The counts of each sample, in order. Raises as `Counting.count`, or the source's own errors."""
        ...


def files_digest(sample: Sample, file: Path) -> str:
    """SHA-256 over the files that a record depends on: label, instances, and the source of the prediction."""
    return digest_of_files(sample.label, sample.instances, file)


def digest_of_files(*paths: Path | None) -> str:
    """SHA-256 over the bytes of files, in hexadecimal; None is skipped.

    Raises:
        DatasetError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in filter(None, paths):
        try:
            digest.update(read_regular(path))
        except OSError as error:
            raise DatasetError(f"cannot read {path}: {error.strerror}", "`semask check` checks every file.") from error
    return digest.hexdigest()
