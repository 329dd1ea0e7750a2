"""Passes of a network replayed from CUDA graphs.

A pass of a large network launches about 3000 kernels, one by one, and a fast GPU waits for the host. A graph launches
them at once, for one shape of pixels and at fixed addresses.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from semask_cli.models.network import Network
from semask_cli.models.prediction import Prediction

log = logging.getLogger(__name__)

WARMUP_PASSES = 2  # of a shape, before it is worth a graph; they load kernels and fill caches, which a capture cannot
MAX_GRAPHS = 4  # one a shape: each holds its input and its predictions, and all share the memory between them


@dataclass(frozen=True, slots=True)
class Captured:
    """A pass from `pixels` to `predictions`, which each replay overwrites. `reads` must outlive the graph."""

    graph: torch.cuda.CUDAGraph
    pixels: Tensor
    predictions: list[Prediction]
    reads: list[Tensor]


class CudaGraphs:
    """`network.predict`, replayed for the first few shapes of pixels that come back. Not for several threads.

    Where a pass cannot be captured, the log says why, and all go on without graphs.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._passes: Counter[torch.Size] = Counter()
        self.captured: dict[torch.Size, Captured] = {}
        self._limit = MAX_GRAPHS

    def predict(self, pixels: Tensor) -> list[Prediction]:
        """As `Network.predict`, for pixels (B, 3, H, W) on a GPU."""
        self._passes[pixels.shape] += 1
        comes_back = self._passes[pixels.shape] > WARMUP_PASSES
        if comes_back and pixels.shape not in self.captured and len(self.captured) < self._limit:
            self._capture(pixels)
        captured = self.captured.get(pixels.shape)
        if captured is None:
            return self.network.predict(pixels)
        captured.pixels.copy_(pixels)
        captured.graph.replay()
        return [_copy(prediction) for prediction in captured.predictions]

    def clear(self) -> None:
        """Give the graphs' memory back."""
        self.captured.clear()

    def _capture(self, pixels: Tensor) -> None:
        pool = next((captured.graph.pool() for captured in self.captured.values()), None)
        graph, static_pixels, reads = torch.cuda.CUDAGraph(), torch.empty_like(pixels), _Reads()
        with torch.cuda.device(pixels.device):
            before = torch.cuda.current_stream()
            try:
                # Other threads may allocate meanwhile, as the one that decodes images does.
                with torch.cuda.graph(graph, pool, torch.cuda.Stream(), capture_error_mode="thread_local"), reads:
                    predictions = self.network.predict(static_pixels)
            except RuntimeError as error:
                log.warning("going on without CUDA graphs: %s", str(error).partition("\n")[0])
                torch.cuda.set_stream(before)  # a failed capture may leave its own
                self._limit = 0
                self.clear()
            else:
                self.captured[pixels.shape] = Captured(graph, static_pixels, predictions, list(reads.tensors.values()))


class _Reads(TorchDispatchMode):
    """Finds the tensors that a pass reads and has not made: weights, and what caches by size hold.

    A graph knows their addresses only. A cache that drops one would leave the graph with memory that is another's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[int, Tensor] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for address, tensor in _memory((args, kwargs)):
            if address not in self._made:
                self.tensors.setdefault(address, tensor)
        result = func(*args, **(kwargs or {}))
        self._made.update(address for address, _ in _memory(result) if address not in self.tensors)
        return result


def _memory(tree: object) -> list[tuple[int, Tensor]]:
    """The tensors somewhere in there, and where the memory that each is a part of begins."""
    return [(leaf.untyped_storage().data_ptr(), leaf) for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _copy(prediction: Prediction) -> Prediction:
    values = {field.name: getattr(prediction, field.name) for field in fields(prediction)}  # type: ignore[arg-type]
    tensors = {name: value.clone() for name, value in values.items() if isinstance(value, Tensor)}
    return replace(prediction, **tensors)  # type: ignore[type-var]
