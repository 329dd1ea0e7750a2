"""Replays without a GPU: graphs are played by a stand-in that, like them, knows memory and no Python."""

from __future__ import annotations

import functools
import gc
import itertools
import logging
import pickle
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import semask_cli
from benchmarks.gpu.dispatch import count_pass
from semask_cli.inference import cuda_graphs
from semask_cli.inference.cuda_graphs import WARMUP_PASSES, CudaGraphs, _Reads
from semask_cli.models import semantic_attention, window_attention, windows
from semask_cli.models.network import Network
from semask_cli.models.windows import WindowBatch
from tests.support.mask_figures import class_map
from toy_street import TEST_SEEDS, render

CPU = torch.device("cpu")
MODELS = ["toy-street-fpn", "toy-street-m2f"]


class Graph:
    """Stands in for torch.cuda.CUDAGraph: the operations of a pass, done again on the same memory."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, ...]] = []
        self.replays = 0
        self.place: tuple[object, object] = (None, None)

    def replay(self) -> None:
        self.replays += 1
        for func, args, kwargs, results in self.steps:
            for result, again in zip(tree_leaves(results), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(result, Tensor):
                    result.copy_(again)


class Recorder(TorchDispatchMode):
    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.graph.steps.append((func, args, kwargs or {}, result))
        return result


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """The stand-ins that have recorded a pass, in order."""
    recorded: list[Graph] = []

    @contextmanager
    def record(graph: Graph, pool: object, stream: object, *, capture_error_mode: str) -> Iterator[None]:
        with Recorder(graph):
            yield
        graph.place = pool, stream
        recorded.append(graph)

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "Stream", object)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000, 2000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: None)
    return recorded


@functools.cache
def network(name: str) -> Network:
    return semask_cli.load(name, device="cpu").network


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_replays_answer_for_new_pixels_and_leave_old_answers_alone(name: str, graphs: list[Graph]) -> None:
    plain = network(name)
    replayed = CudaGraphs(plain)
    images = [torch.randn(2, 3, 96, 128) for _ in range(WARMUP_PASSES + 3)]
    answers = [replayed.predict(pixels) for pixels in images]
    assert [graph.replays for graph in graphs] == [3]
    for pixels, answer in zip(images, answers, strict=True):
        for found, expected in zip(answer, plain.predict(pixels), strict=True):
            torch.testing.assert_close(class_map(found), class_map(expected))


def test_threads_share_graphs(graphs: list[Graph], monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a web server: a graph has one input, which no thread may overwrite while another one replays it."""
    plain = network("toy-street-fpn")
    replayed = pickle.loads(pickle.dumps(CudaGraphs(plain)))  # holds a lock and, on a GPU, graphs
    images = [torch.randn(1, 3, 32, 64) for _ in range(6)]

    def answer(pixels: Tensor) -> Tensor:
        with torch.inference_mode():
            return class_map(replayed.predict(pixels)[0])

    def replay(graph: Graph) -> None:
        time.sleep(0.02)  # the other threads' turn
        whole(graph)

    for pixels in images[: WARMUP_PASSES + 1]:
        answer(pixels)
    whole = Graph.replay
    monkeypatch.setattr(Graph, "replay", replay)
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(answer, images))
    assert [graph.replays for graph in graphs] == [7]
    with torch.inference_mode():
        torch.testing.assert_close(found, [class_map(plain.predict(pixels)[0]) for pixels in images])


def heights(count: int) -> list[Tensor]:
    return [torch.randn(1, 3, 32 + 8 * i, 32) for i in range(count)]


@torch.inference_mode()
def test_shapes_that_come_back_are_captured_on_one_stream_into_one_pool(graphs: list[Graph]) -> None:
    replayed = CudaGraphs(network("toy-street-fpn"))
    for pixels in heights(3) * WARMUP_PASSES:
        replayed.predict(pixels)
    assert not graphs
    for pixels in heights(3) * 2:
        replayed.predict(pixels)
    assert [graph.replays for graph in graphs] == [2, 2, 2]
    assert len({graph.place for graph in graphs}) == 1
    assert all(place is not None for place in graphs[0].place)
    replayed.clear()
    replayed.predict(heights(1)[0])
    assert len(graphs) == 4
    assert graphs[3].place[0] is not graphs[0].place[0], "memory that was given back"
    assert graphs[3].place[1] is graphs[0].place[1]


@torch.inference_mode()
def test_sizes_that_are_padded_to_one_share_a_graph(graphs: list[Graph]) -> None:
    plain = network("toy-street-m2f")
    replayed = CudaGraphs(plain)
    sizes = [(40, 70), (64, 96), (33, 65), (50, 90)]  # to multiples of 32
    for height, width in sizes:
        pixels = torch.randn(1, 3, height, width)
        [found], [expected] = replayed.predict(pixels), plain.predict(pixels)
        assert found.size == (height, width)
        torch.testing.assert_close(class_map(found), class_map(expected))
    assert [graph.replays for graph in graphs] == [len(sizes) - WARMUP_PASSES]


@pytest.mark.parametrize("limit", ["count", "memory"])
@torch.inference_mode()
def test_what_comes_more_often_takes_the_place_of_what_was_not_replayed_for_longest(
    limit: str, graphs: list[Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit == "count":
        monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 2)
    else:  # each graph takes 260 of the 500 bytes that are for all
        reserved = itertools.count(step=260)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: next(reserved))
    replayed = CudaGraphs(network("toy-street-fpn"))
    one, two, three = heights(3)
    for pixels in [one, one, two, two, two, one, one]:
        replayed.predict(pixels)
    assert list(replayed.captured) == [two.shape, one.shape]
    for _ in range(3):
        replayed.predict(three)
    assert three.shape not in replayed.captured, "it has come as often as the one that would go, not more"
    replayed.predict(three)
    assert list(replayed.captured)[-1] == three.shape
    assert two.shape not in replayed.captured
    assert len(graphs) == 3


@torch.inference_mode()
def test_a_pass_that_cannot_be_captured_is_run_as_ever(
    graphs: list[Graph], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @contextmanager
    def refuse(*_: object, **__: object) -> Iterator[None]:
        raise RuntimeError("operation not permitted when stream is capturing\nand so on")
        yield

    plain = network("toy-street-fpn")
    replayed = CudaGraphs(plain)
    monkeypatch.setattr(torch.cuda, "graph", refuse)
    pixels = torch.randn(1, 3, 32, 32)
    with caplog.at_level(logging.WARNING):
        for _ in range(WARMUP_PASSES + 3):
            [found] = replayed.predict(pixels)
    assert torch.equal(class_map(found), class_map(plain.predict(pixels)[0]))
    assert [record.getMessage() for record in caplog.records] == [
        "continuing without CUDA graphs: operation not permitted when stream is capturing"
    ]


@pytest.mark.parametrize("name", MODELS)
def test_the_engine_gives_the_same_labels_with_graphs(
    name: str, graphs: list[Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = render(TEST_SEEDS[0]).image
    segmenter = semask_cli.load(name, device="cpu", mode="slide", flip=True)
    expected = segmenter.predict(image).labels
    monkeypatch.setattr(segmenter._batches, "_compiled", CudaGraphs(segmenter.network))
    assert (segmenter.predict(image).labels == expected).all()
    assert sum(graph.replays for graph in graphs) > 0


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_what_a_graph_keeps_is_what_the_pass_found_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts: list[WindowBatch] = []

    def window_batches(*arguments: Any, **keywords: Any) -> tuple[WindowBatch, ...]:
        cuts.extend(windows.window_batches(*arguments, **keywords))
        return windows.window_batches(*arguments, **keywords)

    for module in (window_attention, semantic_attention):
        monkeypatch.setattr(module, "window_batches", window_batches)
    built = network(name)
    pixels = torch.randn(1, 3, 96, 128)
    built.predict(pixels)
    # Plain ones alone: fakes that another test left have no memory.
    before = {t.untyped_storage().data_ptr() for t in gc.get_objects() if type(t) in (Tensor, nn.Parameter)}
    with _Reads() as reads:
        built.predict(pixels)
    assert reads.tensors.keys() <= before
    weights = {p.untyped_storage().data_ptr() for n, p in built.named_parameters() if "bias_table" not in n}
    cached = {t.untyped_storage().data_ptr() for some in cuts for t in (some.source, some.target)}
    assert weights | cached <= reads.tensors.keys()


@pytest.mark.parametrize("name", ["swin-t-fpn", "swin-l-mf", "swin-l-m2f", "swin-l-m2f-fapn", "swin-l-m2f-msfapn"])
@pytest.mark.slow
def test_a_pass_asks_nothing_of_the_host_once_its_caches_are_full(name: str) -> None:
    """No value is read back, which fake tensors cannot give, and nothing is copied over: a pass can be captured."""
    dispatched = count_pass(name, 200, 264, precision="bf16", batch=2)
    assert dispatched.counts["launches"] > 200
    assert {tensor.device.type for _, tensors in dispatched.calls for tensor in tensors} == {"cuda"}
    assert not dispatched.counts["syncs"]
    assert not dispatched.counts["padded"], "a bias that attention copies first"
