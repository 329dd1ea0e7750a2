"""Exporting a model: traced, written, run in the other engine, compared with ours, and kept only if it is the same."""

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
from semask_cli.inference.views import Size, resize
from semask_cli.io.files import whole_file, write_atomically
from semask_cli.io.images import RGB, ImageSource, read_image
from semask_cli.io.resources import project_file
from semask_cli.zoo import ModelSpec

MAX_DIFFERENCE = 2e-4
"""Of the scores, as a part of their range, that an exported network may have."""

EQUAL_LABELS = 0.9999
"""The part of all labels that must be the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportComparison:
    """An exported network beside ours, on `images` images of the exported size.

    `difference` is the largest of the scores, as a part of the range of ours; `equal_labels` the part of all labels.
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
    """Write the network for another engine, for images of one `size` (height, width); the row's crop unless given.

    Its input `image` is float32 RGB, 0 to 255, (1, 3, height, width); its output `scores` (1, classes, height, width),
    whose argmax the labels are. Beside FILE appear FILE.json, what is known of it and how near it is to ours on
    `images` (the bundled scenes unless given), and FILE.py, a script that runs it without semask.

    Raises:
        UsageError: the file's ending is not the format's, the size is none, or a package is missing.
        ExportError: in the other engine it computes something else, or cannot be written for it. Nothing is kept.
        OutputError: a file cannot be written.
    """
    if format not in ENGINES:
        raise UsageError(f"there is no format called {format!r}", f"There are {', '.join(FORMATS)}.")
    engine = ENGINES[format]
    if path.suffix != engine.ending:
        raise UsageError(f"{path}: {format} is written as {engine.ending}")
    height, width = size or segmenter.spec.crop
    if min(height, width) < 32:
        raise UsageError(f"a size of {height}x{width}: networks need 32 pixels a side")
    if segmenter.device.type != "cpu" or segmenter.precision != "fp32":
        raise UsageError("networks are exported from a CPU, in fp32", "Load it with --device cpu --precision fp32.")
    about = _about(segmenter, height=height, width=width)
    # The graph first: a network that cannot be traced leaves nothing.
    program = trace(segmenter.network, height=height, width=width)
    with whole_file(path) as unfinished:
        engine.write(program, unfinished, about)
        pixels = resized(images or scenes(), segmenter.spec, height=height, width=width)
        compared = compare_with_ours(segmenter, engine.run(unfinished), pixels)
        if not compared.is_equal:
            raise ExportError(
                f"{path} was not kept: in {engine.packages} the network computes something else. Its scores differ by"
                f" {compared.difference:.1e} of their range, {compared.equal_labels:.3%} of its labels are the same.",
                "Try another --format or --size, or other versions of the engine.",
            )
        for other in unfinished.parent.iterdir():  # weights beside the graph, which must be there before it
            if other != unfinished:
                other.replace(path.with_name(other.name))
    document = about | {"format": format, "comparison": asdict(compared)}
    write_atomically(
        path.with_name(f"{path.name}.json"), (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()
    )
    write_atomically(path.with_name(f"{path.name}.py"), script(engine, file=path.name).encode())
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
        "resampling": {"mmseg": "OpenCV, bilinear", "detectron2": "Pillow, bilinear"}[spec.preprocessing],
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
    """What `run` makes of images of one size, beside our own network."""
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
    """The largest absolute value; infinite where there is none, since NaN would pass for small."""
    return float(np.nan_to_num(np.abs(values), nan=np.inf).max())
