"""Exporting a model: traced, written, run in the other engine, and kept only if it equals the original."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from semask_cli.datasets import classes
from semask_cli.errors import ExportError, UsageError
from semask_cli.export.formats import ENGINES, FORMATS, Format, Run
from semask_cli.export.graph import ImageScores, trace
from semask_cli.export.script import script
from semask_cli.inference.segmenter import Segmenter
from semask_cli.inference.versions import versions
from semask_cli.inference.views import Size, resampling, resize
from semask_cli.io.files import whole_file
from semask_cli.io.images import RGB, ImageSource, read_image
from semask_cli.io.resources import project_file
from semask_cli.zoo import ModelSpec

MAX_DIFFERENCE = 2e-4
"""Allowed difference of an exported network's scores, relative to their range."""

EQUAL_LABELS = 0.9999
"""The share of labels that must be equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportComparison:
    """An exported network compared with the original, on `images` images of the exported size.

    `difference` is the largest of the scores, relative to their range; `equal_labels` the share of equal labels.
    """

    images: int
    difference: float
    equal_labels: float

    @property
    def is_equal(self) -> bool:
        """Whether the exported network is kept."""
        return self.difference <= MAX_DIFFERENCE and self.equal_labels >= EQUAL_LABELS


def export_model(
    segmenter: Segmenter,
    path: Path,
    *,
    format: Format,
    size: tuple[int, int] | None = None,
    images: Iterable[ImageSource] | None = None,
) -> ExportComparison:
    """Write the network for another engine, for images of one `size` (height, width), by default the model's crop.

    Its input `image` is float32 RGB, 0 to 255, (1, 3, height, width); its output `scores` (1, classes, height, width),
    whose argmax are the labels. Beside FILE are written FILE.json, with metadata and the comparison on `images` (by
    default the bundled scenes), and FILE.py, a script that runs it without semask.

    Raises:
        UsageError: a wrong suffix, an invalid size, or a missing package.
        ExportError: the exported network differs from the original. Nothing is kept.
        OutputError: a file cannot be written.
    """
    if format not in ENGINES:
        raise UsageError(f"there is no format {format!r}", f"There are {', '.join(FORMATS)}.")
    engine = ENGINES[format]
    if path.suffix != engine.ending:
        raise UsageError(f"{path}: {format} is written as {engine.ending}")
    height, width = size or segmenter.spec.crop
    if min(height, width) < 32:
        raise UsageError(f"the size {height}x{width} is too small: networks need 32 pixels per side")
    if segmenter.device.type != "cpu" or segmenter.precision != "fp32":
        raise UsageError("networks are exported from a CPU, in fp32", "Load it with --device cpu --precision fp32.")
    about = _about(segmenter, height=height, width=width)
    # Trace first: if that fails, no file is left.
    program = trace(segmenter.network, height=height, width=width)
    with whole_file(path) as unfinished:
        engine.write(program, unfinished, about)
        pixels = resized(images or scenes(), segmenter.spec, height=height, width=width)
        compared = compare_with_ours(segmenter, engine.run(unfinished), pixels)
        if not compared.is_equal:
            raise ExportError(
                f"{path} was not kept: in {engine.packages} the scores differ by {compared.difference:.1e} of their"
                f" range, and {compared.equal_labels:.3%} of the labels are equal.",
                "Try another --format or --size, or other versions of the engine.",
            )
        document = about | {"format": format, "comparison": asdict(compared)}
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        unfinished.with_name(f"{path.name}.json").write_text(text, encoding="utf-8")
        unfinished.with_name(f"{path.name}.py").write_text(script(engine, file=path.name), encoding="utf-8")
        path.unlink(missing_ok=True)  # no kill may leave an earlier graph beside these weights
        for other in unfinished.parent.iterdir():
            if other != unfinished:
                other.replace(path.with_name(other.name))
    return compared


def _about(segmenter: Segmenter, *, height: int, width: int) -> dict[str, Any]:
    spec = segmenter.spec
    class_set = classes(spec.dataset)
    return {
        "schema_version": 1,
        "model": spec.name,
        "dataset": spec.dataset,
        "checkpoint": segmenter.digest,
        "height": height,
        "width": width,
        "input": "float32 RGB, 0 to 255, (1, 3, height, width)",
        "resampling": resampling(spec.preprocessing),
        "test_size": {"short_side": spec.short_side, "long_side": spec.long_side},
        "classes": list(class_set.classes),
        "palette": class_set.palette.tolist(),
        "licence": spec.licence,
        "source": spec.source,
        "versions": versions(),
    }


def scenes() -> list[Path]:
    """The ten bundled images."""
    return sorted((project_file("demo") / "images").iterdir())


def resized(images: Iterable[ImageSource], spec: ModelSpec, *, height: int, width: int) -> list[RGB]:
    """Images at one size, with the resampling of the row's published pipeline.

    Raises:
        ImageError: an image cannot be read.
    """
    size = Size(height, width)
    return [resize(read_image(image), size, preprocessing=spec.preprocessing) for image in images]


@torch.no_grad()
def compare_with_ours(segmenter: Segmenter, run: Run, images: list[RGB]) -> ExportComparison:
    """Compare `run` with the segmenter's network on images of one size."""
    ours = ImageScores(segmenter.network)
    difference, equal, pixels = 0.0, 0, 0
    for image in images:
        batch = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
        expected, found = ours(torch.from_numpy(batch))[0].numpy(), run(batch)[0]
        spread = float(expected.max() - expected.min())
        difference = max(difference, _largest(found - expected) / spread)
        equal += int(np.count_nonzero(found.argmax(0) == expected.argmax(0)))
        pixels += image.shape[0] * image.shape[1]
    return ExportComparison(images=len(images), difference=difference, equal_labels=equal / pixels)


def _largest(values: NDArray[np.float32]) -> float:
    """The largest absolute value; NaN counts as infinite, not as small."""
    return float(np.nan_to_num(np.abs(values), nan=np.inf).max())
