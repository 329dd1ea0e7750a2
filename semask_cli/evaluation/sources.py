"""Sources of predictions: a model, or masks written by any program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import PIL
from numpy.typing import NDArray

from semask_cli.datasets import Dataset, LabelEncoding, Sample, read_labels
from semask_cli.datasets.spec import CLASS_INDICES
from semask_cli.errors import SemaskError, UsageError
from semask_cli.evaluation.journal import Settings, differing_settings, journal_settings
from semask_cli.evaluation.mask_files import find_masks
from semask_cli.inference.config import LABELS_ALONE, Keep
from semask_cli.output.segmentation import Segmentation
from semask_cli.version import __version__
from semask_cli.zoo import ModelSpec, Zoo

if TYPE_CHECKING:
    from semask_cli.inference.segmenter import Segmenter

DATASET_SETTINGS = ("dataset", "split", "label_coding", "images", "classes", "boundaries", "calibration")
"""The settings of an evaluation that are not those of its source."""

_MACHINE_SETTINGS = ("device", "versions")  # rounding on other machines changes a few pixels


class Source(Protocol):
    """A source of predicted labels.

    `settings` is all that these depend on besides the files. `definition` is the default definition of mIoU,
    `published` the figure published for exactly these settings on the evaluated split, in percent. `missing` are images
    without a prediction. `files` are all files that it reads besides the images.
    """

    @property
    def title(self) -> str: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def definition(self) -> str: ...

    @property
    def published(self) -> float | None: ...

    @property
    def missing(self) -> Sequence[Sample]: ...

    @property
    def files(self) -> Sequence[Path]: ...

    def file_of(self, sample: Sample) -> Path:
        """The file that the prediction is read or computed from."""
        ...

    def labels(self, samples: Iterable[Sample]) -> Iterator[NDArray[np.uint8]]:
        """Class indices (H, W) uint8 of each image, IGNORE for no class."""
        ...


class ModelSource:
    """The predictions of a model, which is loaded by `load` on first use.

    `files` are those that it is loaded from, besides the one in `spec`. An unreadable image raises its ImageError.
    """

    missing = ()

    def __init__(self, spec: ModelSpec, load: Callable[[], Segmenter], *, files: Iterable[Path] = ()) -> None:
        self.spec, self._load = spec, load
        named = spec.checkpoint.path if spec.checkpoint else None
        self.files = (*files, named) if named else tuple(files)
        self.title = spec.name

    @cached_property
    def _segmenter(self) -> Segmenter:
        return self._load()

    @property
    def settings(self) -> Settings:
        return self._segmenter.settings

    @property
    def definition(self) -> str:
        return self._segmenter.spec.definition

    @property
    def published(self) -> float | None:
        return published_figure(self._segmenter.spec, self._segmenter.settings)

    def file_of(self, sample: Sample) -> Path:
        return sample.image

    def labels(self, samples: Iterable[Sample]) -> Iterator[NDArray[np.uint8]]:
        for segmentation in self._segmentations(samples):
            yield segmentation.labels

    @property
    def score(self) -> str:
        """A description of the score of a pixel's class."""
        if self._segmenter.network.softmax:
            return "softmax, averaged over the views"
        return "sum over queries of class probability times mask probability, at most 1"

    def labels_and_scores(self, samples: Iterable[Sample]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        """As `labels`, with the score of each pixel's class: float32 (H, W), at least 0."""
        for segmentation in self._segmentations(samples, keep=Keep(confidence=True)):
            assert segmentation.confidence is not None
            yield segmentation.labels, segmentation.confidence

    def _segmentations(self, samples: Iterable[Sample], *, keep: Keep = LABELS_ALONE) -> Iterator[Segmentation]:
        images = (sample.image for sample in samples)
        with closing(self._segmenter.predict_each(images, keep=keep)) as results:
            for result in results:
                if isinstance(result, SemaskError):
                    raise result
                yield result


class JournalSource(ModelSource):
    """The model that a journal with these `settings` is of. It is loaded where an image is to be shown, and else not.

    What `load` gives then has to be that model, run in that way; on which machine does not matter.
    """

    def __init__(
        self, spec: ModelSpec, settings: Settings, load: Callable[[], Segmenter], *, files: Iterable[Path] = ()
    ) -> None:
        super().__init__(spec, load, files=files)
        self._score = settings.get("calibration", "")
        self._settings = {key: value for key, value in settings.items() if key not in DATASET_SETTINGS}

    @cached_property
    def _segmenter(self) -> Segmenter:
        segmenter = self._load()
        counted, shown = (
            {key: value for key, value in settings.items() if key not in _MACHINE_SETTINGS}
            for settings in (self._settings, segmenter.settings)
        )
        if changed := differing_settings(counted, shown):
            raise UsageError(
                f"the images in the report would not be predicted as they were counted: {changed}",
                "Give the options of the evaluations that wrote the journals.",
            )
        return segmenter

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def definition(self) -> str:
        return self.spec.definition

    @property
    def published(self) -> float | None:
        return published_figure(self.spec, self._settings)

    @property
    def score(self) -> str:
        return self._score


def journal_model(journal: Path, zoo: Zoo, *, model: str | None = None) -> tuple[ModelSpec, Settings]:
    """The model that a journal is of, and the settings that it was begun with.

    Raises:
        UsageError: there is no journal, or it is of masks, or of another model than the one named.
    """
    settings = journal_settings(journal)
    if "model" not in settings:
        raise UsageError(f"the journal {journal} is of masks", "Name their folder with --pred.")
    spec = zoo.find(settings["model"])
    if model and zoo.find(model) != spec:
        raise UsageError(f"the journal {journal} is of {spec.name}, not of {model}")
    return spec, settings


class MaskFolder:
    """Masks below `folder`, one for each image: grey or palette PNGs whose pixel values are in `encoding`.

    A mask has its image's relative path, or just its name, or a name that goes on after it with "_" or ".":
    frankfurt_000000_000294.png, frankfurt_000000_000294_leftImg8bit.png, munster/…_pred.png. Images without a mask
    are `missing`.

    Raises:
        DatasetError: two masks for one image, or one for two.
    """

    published = None

    def __init__(
        self, folder: Path, samples: Sequence[Sample], encoding: LabelEncoding, *, definition: str = "mmseg"
    ) -> None:
        self._folder, self._encoding, self.definition = folder, encoding, definition
        self._files = find_masks(folder, samples)
        self.files = tuple(self._files.values())
        self.title = folder.resolve().name
        self.missing = tuple(sample for sample in samples if sample.id not in self._files)

    @property
    def settings(self) -> Settings:
        versions = {"semask": __version__, "numpy": np.__version__, "pillow": PIL.__version__}
        return {"masks": str(self._folder.resolve()), "mask_coding": self._encoding.name, "versions": versions}

    def file_of(self, sample: Sample) -> Path:
        return self._files[sample.id]

    def labels(self, samples: Iterable[Sample]) -> Iterator[NDArray[np.uint8]]:
        for sample in samples:
            yield read_labels(self._files[sample.id], self._encoding)


def published_figure(spec: ModelSpec, settings: Settings) -> float | None:
    """The figure that was published for a model with these settings of a run, which may be from a file; or None."""
    scales = settings.get("scales")
    if settings.get("mode") != "whole" or settings.get("own_checkpoint"):
        return None
    if settings.get("flip"):
        multi_scale = isinstance(scales, list | tuple) and tuple(scales) == spec.ms_scales
        return spec.published_miou_ms_flip if multi_scale else None
    return spec.published_miou if scales is None else None


def as_source(
    source: Segmenter | ModelSource | str | os.PathLike[str], dataset: Dataset, *, mask_encoding: str = CLASS_INDICES
) -> Source:
    """A model, or a folder of masks in `mask_encoding`, as the source of predictions for `dataset`.

    Raises:
        UsageError: neither of them, a model of other classes, or masks in an encoding that the dataset has not.
        DatasetError: two masks for one image.
    """
    if isinstance(source, str | os.PathLike):
        definition = dataset.spec.definition if dataset.spec else "mmseg"
        encoding = dataset.classes.encoding(mask_encoding)
        return MaskFolder(Path(source), dataset.samples, encoding, definition=definition)
    if not hasattr(source, "spec"):
        raise UsageError(f"predictions come from a Segmenter or a folder of masks, not {type(source).__name__}")
    if mask_encoding != CLASS_INDICES:
        raise UsageError("a mask encoding is for a folder of masks", "Leave it out for a model.")
    if source.spec.num_classes != len(dataset.classes):
        raise UsageError(
            f"{source.spec.name} knows {source.spec.num_classes} classes, {dataset.name} has {len(dataset.classes)}"
        )
    if isinstance(source, ModelSource):
        return source
    segmenter = source
    return ModelSource(segmenter.spec, lambda: segmenter)
