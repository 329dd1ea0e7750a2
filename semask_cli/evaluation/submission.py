"""Submissions to benchmark servers: masks in the server's encoding, under the expected names, in one ZIP file.

The encoding is `server_encoding` of the dataset's spec: labelIds for Cityscapes, 1 to 150 for ADE20K. Both expect the
image's name, and 0 for no class.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semask_cli.datasets import IGNORE, Dataset, LabelEncoding, Sample
from semask_cli.datasets.spec import dataset_names, dataset_spec
from semask_cli.errors import DatasetError, OutputError, UsageError
from semask_cli.evaluation.records import labels_digest
from semask_cli.io.files import write_atomically


def write_submission(
    path: Path, dataset: Dataset, samples: Sequence[Sample], labels: Iterable[NDArray[np.uint8]]
) -> None:
    """Write the `labels` (class indices, (H, W) uint8) of `samples` to the ZIP file `path`, and verify it.

    Raises:
        UsageError: the dataset has no server.
        DatasetError: as `submission_names`.
        OutputError: the file cannot be written, or reading it back gives something else.
    """
    encoding = submission_encoding(dataset)
    values, digests, names = _values(encoding), {}, submission_names(samples)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # PNGs are compressed already
        for name, predicted in zip(names, labels, strict=True):
            archive.writestr(zipfile.ZipInfo(name), _png(values[predicted]))  # a fixed date: equal masks, equal files
            digests[name] = labels_digest(predicted)
    write_atomically(path, buffer.getvalue())
    if _read_back(path, encoding) != digests:
        raise OutputError(f"{path} was not written correctly", "Write it to another place.")


def submission_encoding(dataset: Dataset) -> LabelEncoding:
    """The encoding of the dataset's server.

    Raises:
        UsageError: it has no server.
    """
    if dataset.spec is None or not dataset.spec.server_encoding:
        with_server = [name for name in dataset_names() if dataset_spec(name).server_encoding]
        raise UsageError(f"{dataset.name} has no benchmark server", f"These have one: {', '.join(with_server)}.")
    return dataset.classes.encodings[dataset.spec.server_encoding]


def submission_names(samples: Sequence[Sample]) -> list[str]:
    """The name of each sample's mask in the file: that of its image.

    Raises:
        DatasetError: two images have one name, or a name is not UTF-8.
    """
    names: dict[str, Sample] = {}
    for sample in samples:
        name = f"{sample.image.stem}.png"
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DatasetError(f"the name of {sample.image} is not UTF-8", "Rename the image.") from error
        if (other := names.setdefault(name, sample)) is not sample:
            raise DatasetError(f"{other.image} and {sample.image} would have one name in a submission", "Rename one.")
    return list(names)


def _values(encoding: LabelEncoding) -> NDArray[np.uint8]:
    """The value of each class index (256,); 0 for no class."""
    values = np.zeros(256, np.uint8)
    written = np.flatnonzero((encoding.table >= 0) & (encoding.table != IGNORE))
    values[encoding.table[written]] = written
    return values


def _read_back(path: Path, encoding: LabelEncoding) -> dict[str, str]:
    """The digest of each readable mask in the file, as class indices."""
    digests = {}
    with suppress(OSError, SyntaxError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file, Image.open(file) as mask:
                digests[name] = labels_digest(encoding.table[np.asarray(mask)].astype(np.uint8))
    return digests


def _png(values: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()
