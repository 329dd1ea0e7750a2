"""The difference in mIoU between two sets of label maps in memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from semask_cli.datasets import Dataset
from semask_cli.datasets.spec import Definition
from semask_cli.evaluation.differences import RunDifference, run_difference
from semask_cli.evaluation.evaluate import evaluate
from semask_cli.evaluation.results import Evaluation
from semask_cli.evaluation.runner import mask_path
from semask_cli.io.files import write_atomically
from semask_cli.output.render import encode_index


def labels_difference(
    dataset: Dataset,
    names: tuple[str, str],
    labels: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    *,
    definition: Definition,
) -> RunDifference:
    """The second figures minus the first; `labels` are pairs of (H, W) uint8, in the order of the dataset's samples.

    Raises:
        DatasetError: the label of a sample is missing, damaged or of another size.
    """
    first, second = zip(*labels, strict=True)
    return run_difference(
        names,
        _evaluated(dataset, first, definition=definition),
        _evaluated(dataset, second, definition=definition),
        definition,
    )


def _evaluated(dataset: Dataset, labels: Iterable[NDArray[np.uint8]], *, definition: Definition) -> Evaluation:
    with TemporaryDirectory() as folder:
        masks, journal = Path(folder, "masks"), Path(folder, "journal")
        for sample, predicted in zip(dataset.samples, labels, strict=True):
            write_atomically(mask_path(masks, sample), encode_index(predicted))
        return evaluate(dataset, masks, definition=definition, journal=journal)
