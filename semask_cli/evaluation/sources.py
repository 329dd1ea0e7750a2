"""Where predictions come from: a model that is run, or masks that any program wrote."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import PIL
from numpy.typing import NDArray

from semask_cli import __version__
from semask_cli.datasets import Coding, Sample, read_labels
from semask_cli.datasets.layouts import files_below
from semask_cli.errors import DatasetError, ImageError
from semask_cli.evaluation.journal import Settings

if TYPE_CHECKING:
    from semask_cli.inference.segmenter import Segmenter


class Source(Protocol):
    """Gives the predicted labels of images.

    `settings` is all that they depend on besides the files. `definition` is the one of mIoU that suits them,
    `published` the figure published for exactly these settings on the evaluated split, in percent. `missing` are
    images that it has no prediction for.
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

    def file_of(self, sample: Sample) -> Path:
        """The file that the prediction is made from."""
        ...

    def labels(self, samples: Iterable[Sample]) -> Iterator[NDArray[np.uint8]]:
        """Class indices (H, W) of each image, IGNORE where the source names no class."""
        ...


class ModelSource:
    """The predictions of a model. An image that cannot be read raises its ImageError."""

    missing = ()

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self.title = segmenter.spec.name

    @property
    def settings(self) -> Settings:
        from semask_cli.inference.versions import versions  # imports torch, which a folder of masks does not need

        segmenter, config = self._segmenter, self._segmenter.config
        windows = {"crop": config.crop, "stride": config.stride} if config.mode == "slide" else {}
        return {
            "model": segmenter.spec.name,
            "checkpoint": segmenter.digest,
            "device": segmenter.device.type,
            "precision": segmenter.precision,
            "mode": config.mode,
            **windows,
            "scales": config.scales,
            "flip": config.flip,
            "versions": versions(),
        }

    @property
    def definition(self) -> str:
        return self._segmenter.spec.definition

    @property
    def published(self) -> float | None:
        spec, config = self._segmenter.spec, self._segmenter.config
        if config.mode != "whole":
            return None
        if config.flip:
            return spec.published_miou_ms_flip if config.scales == spec.ms_scales else None
        return spec.published_miou if config.scales is None else None

    def file_of(self, sample: Sample) -> Path:
        return sample.image

    def labels(self, samples: Iterable[Sample]) -> Iterator[NDArray[np.uint8]]:
        for segmentation in self._segmenter.predict_each(sample.image for sample in samples):
            if isinstance(segmentation, ImageError):
                raise segmentation
            yield segmentation.labels


class MaskFolder:
    """Masks below `folder`, one for each image: grey or palette PNGs whose pixel values are written in `coding`.

    A mask has its image's relative path, or just its name, or a name that goes on after it with "_" or ".":
    frankfurt_000000_000294.png, frankfurt_000000_000294_leftImg8bit.png, munster/…_pred.png. Images without a mask
    are `missing`.

    Raises:
        DatasetError: two masks for one image.
    """

    definition = "mmseg"
    published = None

    def __init__(self, folder: Path, samples: Sequence[Sample], coding: Coding) -> None:
        self._folder, self._coding = folder, coding
        self._files = _find_masks(folder, samples)
        self.title = folder.resolve().name
        self.missing = tuple(sample for sample in samples if sample.id not in self._files)

    @property
    def settings(self) -> Settings:
        versions = {"semask": __version__, "numpy": np.__version__, "pillow": PIL.__version__}
        return {"masks": str(self._folder.resolve()), "mask_coding": self._coding.name, "versions": versions}

    def file_of(self, sample: Sample) -> Path:
        return self._files[sample.id]

    def labels(self, samples: Iterable[Sample]) -> Iterator[NDArray[np.uint8]]:
        for sample in samples:
            yield read_labels(self._files[sample.id], self._coding)


def _find_masks(folder: Path, samples: Sequence[Sample]) -> dict[str, Path]:
    """The mask of each image that has one, by image id."""
    by_path = files_below(folder, ".png")
    by_name: dict[str, list[Path]] = {}
    for path in by_path.values():
        by_name.setdefault(path.stem, []).append(path)
    found = {p.id: by_path[p.id] for p in samples if p.id in by_path}
    for sample in samples:
        if sample.id not in found and (files := by_name.get(sample.name) or by_name.get(sample.image.stem)):
            found[sample.id] = _only(files, sample)
    # What goes on after an image's name may be another image's name.
    taken = {path.stem for path in found.values()}
    names = sorted(by_name.keys() - taken)
    for sample in samples:
        if sample.id not in found and (files := _continuing(sample.name, names, by_name)):
            found[sample.id] = _only(files, sample)
    return found


def _continuing(name: str, sorted_names: list[str], files: Mapping[str, list[Path]]) -> list[Path]:
    """The files whose names go on after `name` with "_" or "."."""
    found = []
    for candidate in sorted_names[bisect_left(sorted_names, name) :]:
        if not candidate.startswith(name):
            break
        if candidate[len(name)] in "_.":
            found += files[candidate]
    return found


def _only(files: list[Path], sample: Sample) -> Path:
    if len(files) > 1:
        raise DatasetError(f"two masks for {sample.id}: {files[0]} and {files[1]}", "Keep one of them in the folder.")
    return files[0]
