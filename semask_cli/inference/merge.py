"""From predictions to scores and labels at the picture's size, strip by strip.

Nothing of the size classes x height x width is ever held: each view answers for a few rows of the picture, the answers
are averaged, and the strip is reduced to labels before the next one is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from semask_cli.models.prediction import DenseLogits, Prediction, source_rows

STRIP_BYTES = 8 << 20  # scores of one strip: about what a processor's caches hold


@dataclass(frozen=True, slots=True)
class ViewPrediction:
    """What the network says about one view of the picture."""

    prediction: Prediction
    flipped: bool = False

    def picture_rows(self, size: tuple[int, int], y0: int, y1: int) -> Tensor:
        """Rows y0 to y1 of the class map at the picture's `size`, not yet un-flipped: (1, classes, y1 - y0, width)."""
        height, width = self.prediction.size
        if height == size[0]:
            rows = self.prediction.rows(y0, y1)
        else:
            above, below, fraction = source_rows(height, size[0], y0, y1)
            first = int(above[0])
            rows = self.prediction.rows(first, int(below[-1]) + 1)
            above, below, fraction = (t.to(rows.device) for t in (above - first, below - first, fraction))
            rows = torch.lerp(rows.index_select(2, above), rows.index_select(2, below), fraction[:, None])
        if width != size[1]:
            rows = F.interpolate(rows, (y1 - y0, size[1]), mode="bilinear", align_corners=False)
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """The scores of a picture of `size` (height, width), averaged over views.

    `softmax` says what is averaged, as published: the softmax of logits (Semantic-FPN), or the class map as it is (mask
    classification).
    """

    views: Sequence[ViewPrediction]
    size: tuple[int, int]
    classes: int
    softmax: bool

    def strips(self) -> list[tuple[int, int]]:
        """The rows (y0, y1) of each strip, from top to bottom, the order in which views expect to be asked."""
        height, width = self.size
        step = max(1, STRIP_BYTES // (4 * self.classes * width))
        return [(y, min(y + step, height)) for y in range(0, height, step)]

    def scores(self, y0: int, y1: int) -> Tensor:
        """The averaged scores of rows y0 to y1: (classes, y1 - y0, width), float32."""
        total: Tensor | None = None
        for view in self.views:
            scores = view.picture_rows(self.size, y0, y1)
            scores = scores.softmax(1) if self.softmax else scores
            scores = scores.flip(3) if view.flipped else scores
            total = scores if total is None else total.add_(scores)
        assert total is not None
        return (total.div_(len(self.views)) if len(self.views) > 1 else total)[0]

    def labels(self) -> Tensor:
        """The class with the best score, for each pixel: uint8 (height, width), where the predictions are."""
        if len(self.views) > 1 or not self.softmax:
            return self.labels_and_scores()[0]
        # Softmax keeps the order of one view's logits, and only few classes can win anywhere.
        prediction = self.views[0].prediction
        if not isinstance(prediction, DenseLogits):
            return replace(self, softmax=False).labels()
        winners = prediction.contenders()
        few = DenseLogits(prediction.logits.index_select(0, winners), prediction.size)
        places = replace(self, views=[ViewPrediction(few)], classes=len(winners), softmax=False).labels()
        return winners.to(torch.uint8)[places.long()]

    def labels_and_scores(self) -> tuple[Tensor, Tensor]:
        """As `labels`, and the best score, float32 (height, width)."""
        labels, best = [], []
        for y0, y1 in self.strips():
            # max also where only labels count: argmax is slow over a dimension that is not the last
            score, label = self.scores(y0, y1).max(0)
            labels.append(label.to(torch.uint8))
            best.append(score)
        return torch.cat(labels), torch.cat(best)
