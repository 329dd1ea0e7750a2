"""The predictions of a model that runs on a cluster: labels come from there, and are counted here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import Sample
from semask_cli.evaluation.journal import Settings
from semask_cli.evaluation.sources import JournalSource
from semask_cli.ray import Actors, labels_on_ray, settings_on_ray
from semask_cli.zoo import ModelSpec


class ClusterSource(JournalSource):
    """The model of `spec` on the Ray cluster that this process has joined, which `options` of `SegmentBatch` complete.

    Raises:
        SemaskError: it cannot be loaded there.
    """

    def __init__(self, spec: ModelSpec, model: str | None, actors: Actors, **options: Any) -> None:
        self._model, self._actors, self._options = model, actors, options
        settings: Settings = settings_on_ray(model, actors, **options)
        super().__init__(spec, settings)

    def labels(self, samples: Iterable[Sample]) -> Iterator[NDArray[np.uint8]]:
        images = ((sample.id, sample.image) for sample in samples)
        return labels_on_ray(images, self._model, self._actors, **self._options)
