"""Running a network from CUDA graphs.

A forward pass of a large network launches a thousand kernels one by one, and a fast GPU waits for the host. A graph
launches all at once, for one input shape and fixed addresses.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from semask_cli.models.network import Network
from semask_cli.models.prediction import Prediction

log = logging.getLogger(__name__)

WARMUP_PASSES = 1  # per shape before capture; they load kernels and fill caches, which a capture cannot
MAX_GRAPHS = 16
SHARE_OF_MEMORY = 0.5  # for all graphs, of the free memory when the first is captured


@dataclass(frozen=True, slots=True)
class Captured:
    """A captured pass from `pixels` to `outputs`, which each replay overwrites. `reads` must outlive the graph."""

    graph: torch.cuda.CUDAGraph
    pixels: Tensor
    outputs: Any
    reads: list[Tensor]


class CudaGraphs:
    """`network.predict`, replayed for recurring shapes. Threads on one CUDA stream may share it.

    Shapes are those of the padded pixels, which recur more often than image sizes. All graphs are captured on one
    stream and into one pool, so that they share the memory of intermediate results. If there are too many, or too large
    ones, the least recently replayed graph is replaced, if its shape occurred less often. If a capture fails, a warning
    is logged, and the network runs without graphs.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.captured: OrderedDict[torch.Size, Captured] = OrderedDict()  # least recently replayed first
        self._passes: Counter[torch.Size] = Counter()
        self._refused = False
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None
        self._held = self._budget = 0  # bytes
        self._lock = Lock()  # a graph has one input and one output

    def __reduce__(self) -> tuple[type[CudaGraphs], tuple[Network]]:
        return type(self), (self.network,)  # a copy captures its own graphs

    def predict(self, pixels: Tensor) -> list[Prediction]:
        """As `Network.predict`, for pixels (B, 3, H, W) on a GPU."""
        padded = self.network.padded(pixels)
        with self._lock:
            outputs = self._replayed(padded)
        if outputs is None:
            outputs = self.network(padded)
        return self.network.predictions(outputs, (pixels.shape[2], pixels.shape[3]))

    def clear(self) -> None:
        """Free the graphs' memory."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        self.captured.clear()
        self._pool, self._held = None, 0

    def _replayed(self, pixels: Tensor) -> Any:
        """A copy of the replayed outputs, or None if this shape has no graph."""
        self._passes[pixels.shape] += 1
        if pixels.shape not in self.captured and not self._captures(pixels):
            return None
        self.captured.move_to_end(pixels.shape)
        captured = self.captured[pixels.shape]
        captured.pixels.copy_(pixels)
        captured.graph.replay()
        return tree_map(torch.clone, captured.outputs)

    def _captures(self, pixels: Tensor) -> bool:
        """Capture a graph if it is worthwhile; whether there is one."""
        if self._refused or self._passes[pixels.shape] <= WARMUP_PASSES:
            return False
        with torch.cuda.device(pixels.device):
            if self._stream is None:
                self._stream = torch.cuda.Stream()
                self._budget = int(SHARE_OF_MEMORY * torch.cuda.mem_get_info()[0])
            if self.captured and (len(self.captured) >= MAX_GRAPHS or self._held > self._budget):
                oldest = next(iter(self.captured))
                if self._passes[oldest] >= self._passes[pixels.shape]:
                    return False
                del self.captured[oldest]  # the pool keeps its memory for the new one
            return self._capture(pixels)

    def _capture(self, pixels: Tensor) -> bool:
        graph, static_pixels, reads = torch.cuda.CUDAGraph(), torch.empty_like(pixels), _Reads()
        before, reserved = torch.cuda.current_stream(), torch.cuda.memory_reserved()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        try:
            # Other threads, such as those that decode images, may allocate meanwhile.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"), reads:
                outputs = self.network(static_pixels)
        except RuntimeError as error:
            log.warning("continuing without CUDA graphs: %s", str(error).partition("\n")[0])
            torch.cuda.set_stream(before)  # a failed capture may leave its stream
            self._refused = True
            self._clear()
            return False
        self._held += max(0, torch.cuda.memory_reserved() - reserved)
        self.captured[pixels.shape] = Captured(graph, static_pixels, outputs, list(reads.tensors.values()))
        return True


class _Reads(TorchDispatchMode):
    """Collects the tensors that a pass reads but does not create: weights, and entries of caches by size.

    A graph holds only their addresses: if a cache dropped one, the graph would read memory that belongs to another.
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
    """The tensors in a nested structure, each with the address of its storage."""
    return [(leaf.untyped_storage().data_ptr(), leaf) for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
