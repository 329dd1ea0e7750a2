"""Views, merging and test-time augmentation around a toy network: no weights, varied labels, any size.

The figures stand for the published reading, resizing, padding and merging of the mask-classification rows, with the
same toy in the network's place.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from semask_cli.inference import merge
from semask_cli.inference.config import InferenceConfig, Mode
from semask_cli.inference.segmenter import Segmenter
from semask_cli.inference.sliding_window import SlidingWindow, window_grid
from semask_cli.inference.stopwatch import Stopwatch
from semask_cli.models.mask_classification import MaskClassification
from semask_cli.models.network import Network
from semask_cli.models.prediction import DenseLogits, Prediction
from semask_cli.ops import resize_accumulate
from semask_cli.zoo import ModelSpec, load_zoo
from tests.support import filled
from tests.support.figures import figure, figures


class ToyMasks(Network):
    """100 masks, linear in the mean colours of 4 x 4 pixels, of random classes."""

    softmax = False

    def __init__(self, classes: int) -> None:
        super().__init__()
        r = np.random.RandomState(77)
        colours, offsets = r.standard_normal((100, 3)), r.standard_normal(100)
        logits = 5 * r.standard_normal((100, classes + 1))
        self.colours, self.offsets, self.class_logits = (
            torch.from_numpy(values.astype(np.float32)) for values in (colours, offsets, logits)
        )

    def predict(self, pixels: Tensor) -> list[Prediction]:
        height, width = pixels.shape[2:]
        padded = F.pad(pixels, (0, -width % 32, 0, -height % 32))
        means = F.avg_pool2d(padded, 4)
        masks = 6 * torch.einsum("qc,bchw->bqhw", self.colours, means) + 2 * self.offsets[:, None, None] - 6
        sizes = (height, width), (padded.shape[2], padded.shape[3])
        return [MaskClassification(self.class_logits, m, *sizes) for m in masks]


class ToyLogits(Network):
    """Class logits, linear in the mean colours of 4 x 4 pixels."""

    softmax = True

    def __init__(self, classes: int) -> None:
        super().__init__()
        r = np.random.RandomState(78)
        self.colours = torch.from_numpy(r.standard_normal((classes, 3)).astype(np.float32))

    def predict(self, pixels: Tensor) -> list[Prediction]:
        size = (pixels.shape[2], pixels.shape[3])
        means = F.avg_pool2d(F.pad(pixels, (0, -size[1] % 4, 0, -size[0] % 4)), 4)
        return [DenseLogits(torch.einsum("kc,chw->khw", self.colours, m), size) for m in means]


def segmenter(spec: ModelSpec, **options: object) -> Segmenter:
    network = ToyLogits(spec.num_classes) if spec.family == "fpn" else ToyMasks(spec.num_classes)
    settings = {"crop": spec.crop, "stride": spec.stride, **options}
    return Segmenter(
        network,
        spec,
        config=InferenceConfig(**settings),  # type: ignore[arg-type]
        device=torch.device("cpu"),
        precision="fp32",
        digest="",
    )


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem) for p in figures("pipeline/*__stub*__*.npz")])
def test_published_reading_resizing_and_merging(path: Path) -> None:
    expected = figure(path)
    spec = load_zoo().find(path.name.split("__")[0])
    sizes = expected.meta["tta_min_sizes"]
    spec = dataclasses.replace(spec, ms_long_side=expected.meta["tta_max_size"])
    scales = tuple(size / spec.short_side for size in sizes) or None
    engine = segmenter(spec, scales=scales, flip=expected.meta["flip"])
    assert expected.error("sem_seg", engine.scores(expected.image).numpy()) < 1e-4
    assert np.mean(engine.predict(expected.image).labels == expected["label"]) >= 0.9995


SMALL = {
    "fpn": dataclasses.replace(load_zoo().find("swin-t-fpn"), short_side=48, long_side=160),
    "mask2former": dataclasses.replace(load_zoo().find("swin-l-m2f"), short_side=48, long_side=160, ms_long_side=200),
}
sizes = st.integers(1, 70)


@settings(max_examples=40)
@given(
    family=st.sampled_from(sorted(SMALL)),
    height=sizes,
    width=sizes,
    mode=st.sampled_from(("whole", "slide")),
    flip=st.booleans(),
    scales=st.sampled_from((None, (0.5, 1.25), "native")),
    tile=st.integers(4, 40),
)
def test_tiles_never_change_labels(
    family: str, height: int, width: int, mode: Mode, flip: bool, scales: object, tile: int
) -> None:
    spec = SMALL[family]
    engine = segmenter(spec, mode=mode, crop=(32, 40), stride=(20, 30), flip=flip, scales=scales)
    image = filled.image(height, width, height * 71 + width)
    whole = engine.predict(image).labels
    assert whole.shape == (height, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "TILE", tile)
        tiled = engine.predict(image).labels
    if not np.array_equal(tiled, whole):  # in another tile, a sum may round in another order: only ties may turn
        best = np.sort(engine.scores(image).numpy(), axis=0)
        assert np.all((best[-1] - best[-2])[tiled != whole] < 1e-5)


@settings(max_examples=15)
@given(
    family=st.sampled_from(sorted(SMALL)),
    height=sizes,
    width=sizes,
    flip=st.booleans(),
    scales=st.sampled_from((None, (0.5, 1.25), "native")),
    memory=st.integers(200_000, 3_000_000),
    device=st.sampled_from(("cpu", "cuda")),
)
def test_a_memory_budget_never_changes_labels(
    family: str, height: int, width: int, flip: bool, scales: object, memory: int, device: str
) -> None:
    """Bands of columns, and a GPU's strips of rows (whose merging is the same on a CPU)."""
    engine = segmenter(SMALL[family], mode="slide", crop=(32, 40), stride=(20, 30), flip=flip, scales=scales)
    image = filled.image(height, width, height * 71 + width)
    plentiful = engine._merge(image, Stopwatch())
    tight = engine._merge(image, Stopwatch())
    tight.memory, tight.device = memory, torch.device(device)
    labels, scores = plentiful.labels(), plentiful.scores()
    best = scores.sort(0).values
    assert ((tight.labels() == labels) | (best[-1] - best[-2] < 1e-5)).all()
    torch.testing.assert_close(tight.scores(), scores, atol=1e-5, rtol=0)


def test_a_small_budget_keeps_fewer_windows() -> None:
    engine = segmenter(SMALL["fpn"], mode="slide", crop=(32, 32), stride=(20, 20), scales="native")
    most: dict[int, int] = {}
    for memory in (1 << 30, 200_000):
        engine.memory = memory
        merge = engine._merge(filled.image(60, 1000, 3), Stopwatch())
        [view] = merge.views
        assert isinstance(view.prediction, SlidingWindow)
        most[memory] = max(len(view.prediction._predictions) for _ in merge._each_tile(merge._scores))
    assert most[200_000] < most[1 << 30] / 3


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_merging_moves_to_the_cpu_when_the_gpu_is_full(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = segmenter(SMALL["mask2former"], mode=mode, crop=(32, 40), stride=(20, 30), flip=True)
    image = filled.image(57, 80, 5)
    expected = engine.predict(image).labels
    calls = itertools.count()

    def full_at_first(*arguments: object, **options: object) -> None:
        if next(calls) == 3:
            raise torch.OutOfMemoryError
        resize_accumulate(*arguments, **options)

    monkeypatch.setattr(merge, "resize_accumulate", full_at_first)
    monkeypatch.setattr(merge, "TILE", 20)
    on_gpu = engine._merge(image, Stopwatch())
    on_gpu.device, on_gpu.memory = torch.device("cuda"), 1_000_000
    assert np.array_equal(on_gpu.labels().numpy(), expected)
    assert caplog.messages == ["out of memory on cuda: merging on the CPU"]
    assert next(calls) > 8


@settings(max_examples=40)
@given(
    family=st.sampled_from(sorted(SMALL)),
    height=sizes,
    width=sizes,
    mode=st.sampled_from(("whole", "slide")),
    flip=st.booleans(),
)
def test_labels_are_the_argmax_of_scores(family: str, height: int, width: int, mode: Mode, flip: bool) -> None:
    engine = segmenter(SMALL[family], mode=mode, crop=(32, 40), stride=(20, 30), flip=flip)
    image = filled.image(height, width, height * 71 + width)
    scores = engine.scores(image).numpy()
    labels = engine.predict(image).labels
    chosen = np.take_along_axis(scores, labels[None].astype(np.int64), 0)[0]
    # In exact ties softmax may round two logits to one probability: the label is still a best one.
    np.testing.assert_array_less(scores.max(0) - chosen, 1e-6)
    kept = engine.predict(image, confidence=True)
    assert kept.confidence is not None
    np.testing.assert_allclose(kept.confidence, scores.max(0), rtol=1e-6)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    crop=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    part=st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)),
)
def test_windows_cover_every_pixel_and_stay_inside(
    height: int, width: int, crop: tuple[int, int], part: tuple[float, float]
) -> None:
    stride = (max(1, int(crop[0] * part[0])), max(1, int(crop[1] * part[1])))
    covered = np.zeros((height, width), bool)
    for row in window_grid(height, width, InferenceConfig(mode="slide", crop=crop, stride=stride)):
        for y, x in row:
            assert 0 <= y.start < y.stop <= height
            assert 0 <= x.start < x.stop <= width
            assert (y.stop - y.start, x.stop - x.start) == (min(crop[0], height), min(crop[1], width))
            covered[y, x] = True
    assert covered.all()


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_batches_never_change_labels(mode: Mode) -> None:
    engine = segmenter(SMALL["fpn"], mode=mode, crop=(32, 40), stride=(20, 30), flip=True, scales=(0.5, 1.0))
    image = filled.image(57, 80, 5)
    one_by_one = engine.predict(image).labels
    engine._batch_size = 3
    assert np.array_equal(engine.predict(image).labels, one_by_one)


def test_a_constant_image_keeps_its_class_in_every_mode() -> None:
    """Padding, flipping, windows and averaging leave an image of one colour alone."""
    spec = SMALL["fpn"]
    image = np.full((40, 64, 3), (200, 30, 90), np.uint8)
    expected = segmenter(spec).predict(image).labels
    assert len(np.unique(expected)) == 1
    for mode in ("whole", "slide"):
        engine = segmenter(spec, mode=mode, crop=(32, 40), stride=(20, 30), flip=True, scales=(0.5, 1.5))
        assert np.array_equal(engine.predict(image).labels, expected)
