"""The whole published test pipelines: an image in, scores and labels out, against figures from the authors' code.

Semantic-FPN: noise moves a probability by 1.4e-6, the smallest mistake known (softmax before the resize) by 2.1e-2.
Mask rows: their filled decoders collapse, so scores are held relative to their spread.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

import semask_cli
from semask_cli.checkpoints import loading
from semask_cli.checkpoints.reading import Checkpoint
from semask_cli.models.network import Network
from semask_cli.models.prediction import Prediction
from semask_cli.zoo import load_zoo
from tests.support.figures import Figure, figure, figures, published_state
from tests.support.toy_networks import toy_segmenter

Checkpoints = Callable[[str], Path]
QUICK = ("swin-t-fpn__single", "swin-t-fpn__slide", "__stub__", "__stubtta__60x300")
FROM_FILES = ("swin-t-fpn__single__300x400__s21", "swin-l-mf__ss__150x160__s21")
"""One of each code base; the gigabytes of the others stay in memory."""


@pytest.fixture
def checkpoint_of(
    checkpoint_of: Checkpoints, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Checkpoints:
    """The checkpoint of a row, or the name of one whose tensors are those that a file would have."""

    def checkpoint(row: str) -> Path:
        if request.node.callspec.id in FROM_FILES:
            return checkpoint_of(row)
        read = Checkpoint(tensors=published_state(row), classes=None)
        monkeypatch.setattr(loading, "read", lambda path, **_: read)
        return Path(row)

    return checkpoint


def cases(*patterns: str) -> list[object]:
    """The figures, ordered by row so that each checkpoint is written once; the quick ones unmarked."""
    paths = sorted(path for pattern in patterns for path in figures(f"pipeline/{pattern}"))
    slow = {path for path in paths if not any(word in path.stem for word in QUICK)}
    return [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path in slow)) for path in paths]


class Remembering:
    """A network's `predict` that keeps its predictions: scores and labels of one image take one pass."""

    def __init__(self, network: Network) -> None:
        self.predict, self.kept = network.predict, {}

    def __call__(self, pixels: Tensor) -> list[Prediction]:
        key = pixels.shape, hashlib.sha256(pixels.contiguous().numpy()).digest()
        if key not in self.kept:
            self.kept[key] = self.predict(pixels)
        return self.kept[key]


def fpn_segmenter(expected: Figure, checkpoint_of: Checkpoints) -> semask_cli.Segmenter:
    meta = expected.meta
    test = meta["test_cfg"]
    return semask_cli.load(
        meta["config"],
        checkpoint=checkpoint_of(meta["config"]),
        device="cpu",
        mode=test["mode"],
        crop=tuple(test["crop_size"]) if "crop_size" in test else None,
        stride=tuple(test["stride"]) if "stride" in test else None,
        scales=meta["img_ratios"],
        flip=meta["flip"],
    )


@pytest.mark.parametrize("path", cases("*-fpn*.npz"))
@pytest.mark.slow
def test_semantic_fpn(path: Path, checkpoint_of: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = figure(path)
    segmenter = fpn_segmenter(expected, checkpoint_of)
    monkeypatch.setattr(segmenter.network, "predict", Remembering(segmenter.network))
    scores = segmenter.scores(expected.image)
    assert expected.error("prob", scores[None].numpy()) < 1e-4
    labels = segmenter.predict(expected.image).labels
    assert np.mean(labels == expected["label"]) >= 0.9995
    assert np.mean(labels == scores.argmax(0).numpy()) >= 0.9999  # labels never hold full scores, and are theirs


@pytest.mark.parametrize("path", cases("*m[f2]*__ss__*.npz", "*m[f2]*__msflip__*.npz"))
def test_mask_classification(path: Path, checkpoint_of: Checkpoints) -> None:
    expected = figure(path)
    row = path.name.split("__")[0]
    sizes = expected.meta["tta_min_sizes"]
    short = load_zoo().find(row).short_side
    segmenter = semask_cli.load(
        row,
        checkpoint=checkpoint_of(row),
        device="cpu",
        scales=[size / short for size in sizes] or None,
        flip=expected.meta["flip"],
    )
    assert expected.spread_error("sem_seg", segmenter.scores(expected.image).numpy()) < 1e-3


@pytest.mark.parametrize("path", cases("*__stub*__*.npz"))
@pytest.mark.slow
def test_mask_classification_around_a_toy_network(path: Path) -> None:
    """The published reading, resizing, padding and merging, with the same toy in the network's place."""
    expected = figure(path)
    spec = load_zoo().find(path.name.split("__")[0])
    sizes = expected.meta["tta_min_sizes"]
    spec = dataclasses.replace(spec, ms_long_side=expected.meta["tta_max_size"])
    scales = tuple(size / spec.short_side for size in sizes) or None
    segmenter = toy_segmenter(spec, scales=scales, flip=expected.meta["flip"])
    scores = segmenter.scores(expected.image)
    assert expected.error("sem_seg", scores.numpy()) < 1e-4
    assert np.mean(scores.argmax(0).numpy() == expected["label"]) >= 0.9995
    if max(sizes, default=0) <= 480:  # larger views, and more of them, are merged once
        assert np.mean(segmenter.predict(expected.image).labels == expected["label"]) >= 0.9995


def test_the_published_strides_are_the_defaults() -> None:
    """The slide figures were computed with the authors' configurations, and the zoo has the same numbers."""
    for path in figures("pipeline/*__slide__*.npz"):
        meta = figure(path).meta
        spec = load_zoo().find(meta["config"])
        assert [list(spec.crop), list(spec.stride)] == [meta["test_cfg"]["crop_size"], meta["test_cfg"]["stride"]]


def test_the_published_scales_are_the_defaults() -> None:
    meta = figure("pipeline/swin-t-fpn__msflip__240x330__s22.npz").meta
    assert list(load_zoo().find("swin-t-fpn").ms_scales) == meta["img_ratios"]
    for path in figures("pipeline/*__stubtta__93x140__*.npz"):
        spec = load_zoo().find(path.name.split("__")[0])
        expected = figure(path).meta
        sizes = [int(spec.short_side * scale) for scale in spec.ms_scales]
        assert sizes[: len(expected["tta_min_sizes"])] == expected["tta_min_sizes"]
        assert spec.ms_long_side == expected["tta_max_size"]
