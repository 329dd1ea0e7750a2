"""The result of a prediction, with its output files and conversions for other libraries."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semask_cli.errors import UsageError
from semask_cli.io.storage import place, write
from semask_cli.output.kinds import Kind, encode
from semask_cli.output.segmented_image import SegmentedImage


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Segmentation(SegmentedImage):
    """The labels of one image, and the files that can be made of them."""

    def _repr_png_(self) -> bytes | None:
        """The legend, for notebooks; None if the image was not kept."""
        if self.image is None:
            return None
        return encode(self, "legend", ending=".png")

    def to_supervision(self) -> Any:
        """`supervision.Detections` with a mask per class present; supervision must be installed."""
        import supervision

        found = [share.index for share in self.shares()]
        masks = self.labels == np.array(found, np.uint8)[:, None, None]  # (present, H, W)
        return supervision.Detections(
            xyxy=supervision.mask_to_xyxy(masks),
            mask=masks,
            class_id=np.array(found, int),
            data={"class_name": np.array([self.classes[index] for index in found])},
        )

    def to_fiftyone(self) -> Any:
        """`fiftyone.Segmentation` whose mask values are class indices plus one; fiftyone must be installed.

        In FiftyOne, 0 is background. For the names of the classes:
        `dataset.default_mask_targets = dict(enumerate(segmentation.classes, 1))`.
        """
        import fiftyone

        return fiftyone.Segmentation(mask=self.labels + np.uint8(1))  # of 255 classes at most

    def save(
        self, path: str | os.PathLike[str], *, kind: Kind = "mask", opacity: float = 0.5, tolerance: float = 0
    ) -> None:
        """Write one file, also in a store (s3://…), creating its folder if needed and replacing an existing file.

        `kind` is one of

        - "mask": palette PNG, the pixel value is the class index; see `render.encode_mask` for reading it back
        - "index": grey PNG, the pixel value is the class index, for any library
        - "color": RGB PNG in the dataset's colours; these repeat, so classes cannot be read back
        - "overlay": the image tinted with the classes' colours at `opacity` (0 to 1)
        - "contour": the image with the outlines of the segments in the classes' colours
        - "side": the image and its overlay side by side
        - "legend": the overlay over a list of the classes and their shares
        - "preview": a small JPEG, the image above its overlay, with its name, size and classes as a comment
        - "confidence": grey PNG, the score of each pixel's class, 0 to 1 as 0 to 255
        - "entropy": grey PNG, how evenly a pixel's score is spread over the classes, 0 to 1 as 0 to 255
        - "scores": npz, the fields `scores` and `score_labels`
        - "json": the document of `to_json`
        - "coco", "coco-polygons", "geojson", "cvat", "labelstudio": connected regions, for annotation tools; see
          `vectors`. Outlines may leave out corners within `tolerance`, in pixels.

        The suffix of `path` selects the format; overlay, contour, side and legend may be .jpg or .png.

        Raises:
            UsageError: an invalid kind, suffix, opacity or tolerance, or the segmentation lacks a field.
            OutputError: the file cannot be written, or is too large for a JPEG; no partial file is left.
        """
        target = place(path) if isinstance(path, str) else Path(path)
        ending = Path(target.name).suffix.lower()
        try:
            content = encode(self, kind, ending=ending, opacity=opacity, tolerance=tolerance)
        except UsageError as error:
            raise UsageError(f"{path}: {error.message}", error.suggestion) from error
        write(target, content)

    def encoded(
        self, kind: Kind = "mask", *, ending: str | None = None, opacity: float = 0.5, tolerance: float = 0
    ) -> bytes:
        """The bytes of the file that `save` would write; see `kinds.encode`."""
        return encode(self, kind, ending=ending, opacity=opacity, tolerance=tolerance)
