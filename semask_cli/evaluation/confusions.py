"""The confusion matrix for display: normalisation, and orders of its classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Order = Literal["index", "frequency", "similarity"]


def shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """The confusion matrix (K, K + 1) normalised by row, 0 to 1; 0 for classes without labels."""
    labelled = confusion.sum(axis=1, keepdims=True)
    return np.divide(confusion, labelled, out=np.zeros(confusion.shape), where=labelled > 0)


def class_order(confusion: NDArray[np.int64], order: Order) -> list[int]:
    """The class indices in an order: "frequency" has the most labelled first, "similarity" confused classes together.

    The similarity of two classes is the larger rate of confusion between them. They are clustered by average linkage,
    with optimal leaf order (Bar-Joseph et al. 2001), by scipy.
    """
    return _ORDERS[order](confusion)


def _by_frequency(confusion: NDArray[np.int64]) -> list[int]:
    return np.argsort(-confusion.sum(axis=1), kind="stable").tolist()


def _by_similarity(confusion: NDArray[np.int64]) -> list[int]:
    classes = len(confusion)
    if classes < 3:
        return list(range(classes))
    from scipy.cluster.hierarchy import leaves_list, linkage  # type: ignore[import-untyped]

    share = shares(confusion)[:, :classes]
    distance = 1 - np.maximum(share, share.T)
    upper = distance[np.triu_indices(classes, 1)]
    return leaves_list(linkage(upper, "average", optimal_ordering=True)).tolist()


_ORDERS: dict[Order, Callable[[NDArray[np.int64]], list[int]]] = {
    "index": lambda confusion: list(range(len(confusion))),
    "frequency": _by_frequency,
    "similarity": _by_similarity,
}
