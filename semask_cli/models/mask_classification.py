"""Mask classification: the common parts of MaskFormer and Mask2Former, from the padded image to class scores.

Follows «MaskFormer» (Cheng et al., arXiv 2107.06278; published code CC BY-NC 4.0) and «Mask2Former» (Cheng et al.,
arXiv 2112.01527; published code MIT).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from semask_cli.models.backbone import SeMaskSwin
from semask_cli.models.network import Network
from semask_cli.models.prediction import ClassMap, Prediction
from semask_cli.ops import Resample, resize_sigmoid


@dataclass(frozen=True, slots=True)
class MaskClassification:
    """Masks and their classes, for a network input of `size` (height, width) that was padded to `padded_size`.

    `class_logits` (Q, classes + 1) have "no object" last; `mask_logits` (Q, h, w) are at a quarter of the padded size.
    """

    class_logits: Tensor
    mask_logits: Tensor
    size: tuple[int, int]
    padded_size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return self.class_logits.nbytes + self.mask_logits.nbytes

    @property
    def buffer_nbytes(self) -> int:
        return 0

    def class_map(self, rows: range, columns: range) -> ClassMap:
        """Class scores, at least 0 and not normalised: the sum over queries of class times mask probability.

        As published, masks are resized before the sigmoid, including their padding.
        """
        (_, h, w), (height, width) = self.mask_logits.shape, self.padded_size
        masks = resize_sigmoid(self.mask_logits, Resample((h, height), (w, width), rows, columns))
        classes = self.class_logits.softmax(-1)[:, :-1]
        # Kernels pad rows to sixteen bytes. Multiply the padded rows: cropping first would copy.
        lines = masks.as_strided((*masks.shape[:2], masks.stride(1)), masks.stride())
        scores = torch.einsum("qc,qhw->chw", classes, lines)[..., : len(columns)]
        return ClassMap(scores, (self.size[0],), (self.size[1],), (rows.start, columns.start))

    def to(self, device: torch.device) -> Self:
        return replace(self, class_logits=self.class_logits.to(device), mask_logits=self.mask_logits.to(device))

    def released(self) -> Self:
        return self


class MaskClassifier(Network):
    """A backbone and `sem_seg_head`, a module that turns its four features into class and mask logits."""

    softmax = False

    def __init__(self, backbone: SeMaskSwin, head: nn.Module, *, size_divisor: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.sem_seg_head = head
        self.size_divisor = size_divisor

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (B, Q, classes + 1) and mask logits (B, Q, H / 4, W / 4).

        `pixels` (B, 3, H, W), normalised and padded to multiples of `size_divisor`.
        """
        features, _ = self.backbone(pixels)
        return self.sem_seg_head(features)

    def predictions(self, outputs: tuple[Tensor, Tensor], size: tuple[int, int]) -> list[Prediction]:
        class_logits, mask_logits = outputs
        padded_size = (size[0] + -size[0] % self.size_divisor, size[1] + -size[1] % self.size_divisor)
        return [
            MaskClassification(classes, masks, size, padded_size)
            for classes, masks in zip(class_logits.float(), mask_logits.float().contiguous(), strict=True)
        ]
