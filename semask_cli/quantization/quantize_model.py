"""Quantizing a model: calibrated on images, compared on others, and kept only if the labels agree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semask_cli.errors import QuantizationError, UsageError
from semask_cli.inference.device import choose_precision
from semask_cli.inference.segmenter import Segmenter
from semask_cli.inference.versions import versions
from semask_cli.io.images import ImageSource, read_image
from semask_cli.quantization.calibration import Calibration
from semask_cli.quantization.conversion import LayerScales, quantize_network_
from semask_cli.quantization.store import scales_path, write_scales

EQUAL_LABELS = 0.995
"""The share of labels that must be equal in int8 and float32."""

HELD_BACK = 4  # one image in four is held back for comparison
FEWEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """The file of scales, the number of images for calibration, and the share of labels that agree.

    `held_back` are the numbers of the images for comparison, `labels` their labels in float32 and in int8, (H, W)
    uint8.
    """

    file: str
    calibrated_on: int
    equal_labels: float
    held_back: tuple[int, ...]
    labels: tuple[tuple[NDArray[np.uint8], NDArray[np.uint8]], ...]


def quantize_model(
    segmenter: Segmenter, images: Sequence[ImageSource], *, output: Path | None = None, keep_anyway: bool = False
) -> Quantization:
    """Calibrate a float32 model on a CPU for int8, and write the scales to `output`, or to the cache, for `load`.

    A quarter of the images is held back and segmented in both precisions. The segmenter's network is int8 afterwards.

    Raises:
        UsageError: too few images, or the model is not in float32.
        DeviceError: this CPU has neither VNNI nor AMX.
        ImageError: an image cannot be read.
        QuantizationError: fewer than 99.5 % of the labels agree; nothing is kept unless `keep_anyway`.
        OutputError: the file cannot be written.
    """
    precision = choose_precision("int8", segmenter.device)
    if segmenter.precision != "fp32":
        raise UsageError("a model is calibrated in fp32", "Load it with --precision fp32.")
    held_back = range(0, len(images), HELD_BACK)
    scales, expected, digest = _calibrate(segmenter, images, held_back)
    quantize_network_(segmenter.network, scales)
    segmenter.precision = precision
    found = [segmenter.predict(images[number]).labels for number in held_back]
    equal = sum(int(np.count_nonzero(a == b)) for a, b in zip(expected, found, strict=True))
    share = equal / sum(labels.size for labels in found)
    calibrated_on = len(images) - len(held_back)
    if share < EQUAL_LABELS and not keep_anyway:
        raise QuantizationError(
            f"only {share:.2%} of the labels of {segmenter.spec.name} are equal in int8, less than {EQUAL_LABELS:.1%}"
            f" (images compared: {len(held_back)}): nothing was kept",
            "Calibrate on more images, of the kind that you segment, or use --keep-anyway.",
        )
    path = output or scales_path(segmenter.spec, segmenter.digest)
    about = {
        "model": segmenter.spec.name,
        "checkpoint": segmenter.digest,
        "images": digest,
        "calibrated_on": str(calibrated_on),
        "compared_on": str(len(held_back)),
        "equal_labels": f"{share:.6f}",
        **{f"version_{name}": version for name, version in versions().items()},
    }
    write_scales(path, scales, about)
    return Quantization(
        file=str(path),
        calibrated_on=calibrated_on,
        equal_labels=share,
        held_back=tuple(held_back),
        labels=tuple(zip(expected, found, strict=True)),
    )


def _calibrate(
    segmenter: Segmenter, images: Sequence[ImageSource], held_back: range
) -> tuple[dict[str, LayerScales], list[NDArray[np.uint8]], str]:
    """The scales by layer, the labels of the images `held_back` in float32, and the SHA-256 of all images."""
    calibration, seen = Calibration(segmenter.network), hashlib.sha256()
    expected = []
    for number, source in enumerate(images):
        image = read_image(source)
        seen.update(f"{image.shape}\n".encode() + image.tobytes())
        if number in held_back:
            expected.append(segmenter.predict(image).labels)
        else:
            with calibration.watching():
                segmenter.predict(image)
    if len(images) < FEWEST:  # after reporting unreadable ones
        raise UsageError(f"calibration needs at least {FEWEST} images, not {len(images)}", "64 are plenty.")
    return calibration.scales(), expected, seen.hexdigest()
